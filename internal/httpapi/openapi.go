package httpapi

import (
	_ "embed"
	"net/http"
	"sync"

	"sigs.k8s.io/yaml"
)

//go:embed openapi.yaml
var openAPISource []byte

// openAPI is the document as JSON; made when it is first asked for.
var openAPI = sync.OnceValues(func() ([]byte, error) { return yaml.YAMLToJSON(openAPISource) })

func (s *Server) getOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	document, err := openAPI()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentJSON)
	_, _ = w.Write(document)
	return nil
}
