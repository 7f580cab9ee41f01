package blob

import (
	"net/http"
	"strconv"
)

// find returns the container that a request is about. The caller holds a.containersMu.
func (a *Account) find(c *call) (*container, *failure) {
	held := a.containers[c.container]
	if held == nil {
		return nil, failed(codeContainerNotFound)
	}
	return held, nil
}

func (a *Account) accountInformation() *response {
	resp := newResponse(http.StatusOK)
	resp.header.Set("x-ms-sku-name", "Standard_LRS")
	resp.header.Set("x-ms-account-kind", "StorageV2")
	resp.header.Set("x-ms-is-hns-enabled", strconv.FormatBool(a.options.HierarchicalNamespace))
	return resp
}

func (a *Account) createContainer(c *call) (*response, *failure) {
	m, fail := metadataFrom(c.header)
	if fail != nil {
		return nil, fail
	}
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	if a.containers[c.container] != nil {
		return nil, failed(codeContainerAlreadyExists)
	}
	held, fail := a.addContainer(c.container, m)
	if fail != nil {
		return nil, fail
	}
	resp := newResponse(http.StatusCreated)
	resp.stamp(held.version())
	return resp, nil
}

func (a *Account) getContainerProperties(c *call) (*response, *failure) {
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	held, fail := a.find(c)
	if fail != nil {
		return nil, fail
	}
	resp := newResponse(http.StatusOK)
	resp.stamp(held.version())
	resp.header.Set("x-ms-lease-status", "unlocked")
	resp.header.Set("x-ms-lease-state", "available")
	resp.header.Set("x-ms-has-immutability-policy", "false")
	resp.header.Set("x-ms-has-legal-hold", "false")
	held.metadata.addTo(resp.header)
	return resp, nil
}

func (a *Account) deleteContainer(c *call) (*response, *failure) {
	when, fail := conditionsFrom(c.header)
	if fail != nil {
		return nil, fail
	}
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	held, fail := a.find(c)
	if fail != nil {
		return nil, fail
	}
	if fail := when.forWrite(held.version()); fail != nil {
		return nil, fail
	}
	a.removeContainer(c.container)
	return newResponse(http.StatusAccepted), nil
}

func (c *container) version() version { return version{etag: c.etag, modified: c.modified} }

// stamp adds the headers that say which version the answer is about.
func (r *response) stamp(v version) {
	r.header.Set("ETag", v.etag)
	r.header.Set("Last-Modified", httpTime(v.modified))
}
