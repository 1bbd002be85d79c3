// Command webhook is an HTTP handler that knows nothing of queues: each message
// is posted to it, and its answer says what becomes of the message.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:18080", "address")
	flag.Parse()
	http.HandleFunc("POST /orders", order)
	server := &http.Server{Addr: *listen, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// order answers 204 for what is done, 422 for what never can be, and 503 with
// Retry-After for what has to come again.
func order(w http.ResponseWriter, r *http.Request) {
	var o struct {
		Order int `json:"order"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&o); err != nil || o.Order <= 0 {
		http.Error(w, "no order in it", http.StatusUnprocessableEntity)
		return
	}
	attempt := r.Header.Get("Queuemill-Attempt")
	if o.Order%10 == 0 && attempt == "1" { // the shop is busy now and then
		w.Header().Set("Retry-After", "1")
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	if err := note(fmt.Sprintf("order %d, attempt %s\n", o.Order, attempt)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func note(line string) error {
	f, err := os.OpenFile("orders.txt", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line); err != nil {
		return err
	}
	return f.Close()
}
