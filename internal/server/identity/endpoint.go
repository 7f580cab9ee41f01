package identity

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Fault is something that goes wrong when a program asks for a token.
type Fault struct {
	Times  int // how often it happens; 0 means until it is removed
	Status int // of the answer; 0 means 500
	Delay  time.Duration
}

// AddFault declares a fault, and returns a function that removes it.
func (d *Directory) AddFault(f Fault) (remove func()) {
	d.rolesMu.Lock()
	defer d.rolesMu.Unlock()
	declared := &f
	d.faults = append(d.faults, declared)
	return func() {
		d.rolesMu.Lock()
		defer d.rolesMu.Unlock()
		d.drop(declared)
	}
}

func (d *Directory) drop(f *Fault) {
	for i, other := range d.faults {
		if other == f {
			d.faults = append(d.faults[:i:i], d.faults[i+1:]...)
			return
		}
	}
}

// fault returns the fault that happens now, if there is one, and counts it.
func (d *Directory) fault() (Fault, bool) {
	d.rolesMu.Lock()
	defer d.rolesMu.Unlock()
	if len(d.faults) == 0 {
		return Fault{}, false
	}
	f := d.faults[0]
	if f.Times == 1 {
		d.drop(f)
	}
	f.Times--
	return *f, true
}

// Secret returns what programs must send to the endpoint as X-IDENTITY-HEADER.
func (d *Directory) Secret() string { return d.secret }

// ServeHTTP is the managed identity endpoint of App Service, version 2019-08-01: GET ?resource=…&client_id=… with
// the header X-IDENTITY-HEADER.
func (d *Directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f, ok := d.fault(); ok {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			return
		}
		if f.Status == 0 {
			f.Status = http.StatusInternalServerError
		}
		refuse(w, f.Status, "a fault was asked for")
		return
	}
	query := r.URL.Query()
	resource, clientID := query.Get("resource"), query.Get("client_id")
	switch {
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, "use GET")
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("X-IDENTITY-HEADER")), []byte(d.secret)) != 1:
		refuse(w, http.StatusForbidden, "the header X-IDENTITY-HEADER is missing or wrong")
	case query.Get("api-version") != "2019-08-01":
		refuse(w, http.StatusBadRequest, "api-version has to be 2019-08-01")
	case query.Has("principal_id"), query.Has("object_id"), query.Has("mi_res_id"):
		refuse(w, http.StatusBadRequest, "identities are known by client_id here")
	default:
		token, expires, err := d.Issue(clientID, resource)
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		answer(w, http.StatusOK, map[string]string{
			"access_token": token, "expires_on": strconv.FormatInt(expires.Unix(), 10), "resource": resource,
			"token_type": "Bearer", "client_id": clientID,
		})
	}
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]any{"statusCode": status, "message": why})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // if it fails, the client has gone
}
