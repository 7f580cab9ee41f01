package blob

import (
	"fmt"
	"net/http"
)

// Azure's error codes.
const (
	codeAuthenticationFailed            = "AuthenticationFailed"
	codeAuthorizationFailure            = "AuthorizationFailure"
	codeAuthorizationPermissionMismatch = "AuthorizationPermissionMismatch"
	codeBlobAlreadyExists               = "BlobAlreadyExists"
	codeBlobNotFound                    = "BlobNotFound"
	codeConditionNotMet                 = "ConditionNotMet"
	codeContainerAlreadyExists          = "ContainerAlreadyExists"
	codeContainerNotFound               = "ContainerNotFound"
	codeCRC64Mismatch                   = "Crc64Mismatch"
	codeEmptyMetadataKey                = "EmptyMetadataKey"
	codeInternalError                   = "InternalError"
	codeInvalidAuthenticationInfo       = "InvalidAuthenticationInfo"
	codeInvalidHeaderValue              = "InvalidHeaderValue"
	codeInvalidInput                    = "InvalidInput"
	codeInvalidMetadata                 = "InvalidMetadata"
	codeInvalidQueryParameterValue      = "InvalidQueryParameterValue"
	codeInvalidRange                    = "InvalidRange"
	codeInvalidResourceName             = "InvalidResourceName"
	codeInvalidURI                      = "InvalidUri"
	codeLeaseNotPresent                 = "LeaseNotPresentWithBlobOperation"
	codeMD5Mismatch                     = "Md5Mismatch"
	codeMetadataTooLarge                = "MetadataTooLarge"
	codeMissingContentLength            = "MissingContentLengthHeader"
	codeMissingRequiredHeader           = "MissingRequiredHeader"
	codeMissingRequiredQueryParameter   = "MissingRequiredQueryParameter"
	codeMultipleConditions              = "MultipleConditionHeadersNotSupported"
	codeNoAuthenticationInformation     = "NoAuthenticationInformation"
	codeOperationTimedOut               = "OperationTimedOut"
	codeOutOfRangeInput                 = "OutOfRangeInput"
	codeOutOfRangeQueryParameter        = "OutOfRangeQueryParameterValue"
	codeRequestBodyTooLarge             = "RequestBodyTooLarge"
	codeServerBusy                      = "ServerBusy"
	codeUnsatisfiableCondition          = "UnsatisfiableCondition"
	codeUnsupportedHTTPVerb             = "UnsupportedHttpVerb"
	codeUnsupportedHeader               = "UnsupportedHeader"
	codeUnsupportedQueryParameter       = "UnsupportedQueryParameter"
)

// errorCodes has the status and text of each code. It has AuthorizationFailure,
// which only faults use, so that a fault need not name its status.
var errorCodes = map[string]struct {
	status  int
	message string
}{
	codeAuthenticationFailed: {
		403,
		"Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly " +
			"including the signature.",
	},
	codeAuthorizationFailure: {403, "This request is not authorized to perform this operation."},
	codeAuthorizationPermissionMismatch: {
		403, "This request is not authorized to perform this operation using this permission.",
	},
	codeBlobAlreadyExists:      {409, "The specified blob already exists."},
	codeBlobNotFound:           {404, "The specified blob does not exist."},
	codeConditionNotMet:        {412, "The condition specified using HTTP conditional header(s) is not met."},
	codeContainerAlreadyExists: {409, "The specified container already exists."},
	codeContainerNotFound:      {404, "The specified container does not exist."},
	"ContainerBeingDeleted":    {409, "The specified container is being deleted. Try operation later."},
	codeCRC64Mismatch: {
		400, "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server.",
	},
	codeEmptyMetadataKey: {400, "The key for one of the metadata key-value pairs is empty."},
	codeInternalError:    {500, "The server encountered an internal error. Please retry the request."},
	codeInvalidAuthenticationInfo: {
		401, "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
	},
	codeInvalidHeaderValue: {400, "The value for one of the HTTP headers is not in the correct format."},
	codeInvalidInput:       {400, "One of the request inputs is not valid."},
	codeInvalidMetadata: {
		400, "The metadata specified is invalid. It has characters that are not permitted.",
	},
	codeInvalidQueryParameterValue: {
		400, "Value for one of the query parameters specified in the request URI is invalid.",
	},
	codeInvalidRange:        {416, "The range specified is invalid for the current size of the resource."},
	codeInvalidResourceName: {400, "The specified resource name contains invalid characters."},
	codeInvalidURI:          {400, "The requested URI does not represent any resource on the server."},
	codeLeaseNotPresent:     {412, "There is currently no lease on the blob."},
	codeMD5Mismatch: {
		400, "The MD5 value specified in the request did not match with the MD5 value calculated by the server.",
	},
	codeMetadataTooLarge:              {400, "The metadata specified exceeds the maximum allowed limit (8KB)."},
	codeMissingContentLength:          {411, "The Content-Length header was not specified."},
	codeMissingRequiredHeader:         {400, "An HTTP header that's mandatory for this request is not specified."},
	codeMissingRequiredQueryParameter: {400, "A query parameter that's mandatory for this request is not specified."},
	codeMultipleConditions:            {400, "Multiple condition headers are not supported."},
	codeNoAuthenticationInformation: {
		401, "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
	},
	codeOperationTimedOut: {500, "Operation could not be completed within the specified time."},
	codeOutOfRangeInput:   {400, "One of the request inputs is out of range."},
	codeOutOfRangeQueryParameter: {
		400, "One of the query parameters specified in the request URI is outside the permissible range.",
	},
	codeRequestBodyTooLarge:    {413, "The request body is too large and exceeds the maximum permissible limit."},
	codeServerBusy:             {503, "The server is busy."},
	codeUnsatisfiableCondition: {400, "The request includes an unsatisfiable condition for this operation."},
	codeUnsupportedHTTPVerb:    {405, "The resource doesn't support specified Http Verb."},
	codeUnsupportedHeader:      {400, "One of the HTTP headers specified in the request is not supported."},
	codeUnsupportedQueryParameter: {
		400, "One of the query parameters specified in the request URI is not supported.",
	},
}

// failure is an answer other than success.
type failure struct {
	status int
	code   string
	detail string
	header http.Header // more headers; may be nil
	aborts bool        // close the connection without an answer
}

// failed returns the failure with that code and its status.
func failed(code string) *failure {
	known, ok := errorCodes[code]
	if !ok {
		known.status = http.StatusInternalServerError
	}
	return &failure{status: known.status, code: code}
}

// because adds to the answer what exactly is wrong.
func (f *failure) because(format string, args ...any) *failure {
	f.detail = fmt.Sprintf(format, args...)
	return f
}

// with adds a header to the answer.
func (f *failure) with(name, value string) *failure {
	if f.header == nil {
		f.header = make(http.Header)
	}
	f.header.Set(name, value)
	return f
}

func (f *failure) message() string {
	if known, ok := errorCodes[f.code]; ok {
		return known.message
	}
	return "The operation failed as declared."
}

// Error makes a failure an error, for the methods that inspect the account.
func (f *failure) Error() string {
	if f.detail == "" {
		return f.code + ": " + f.message()
	}
	return f.code + ": " + f.detail
}
