package pubsub

import "net/http"

// ServeHTTP is the JSON API, under /v1/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.rest.ServeHTTP(w, r) }

func (s *Server) routes() http.Handler { return http.NotFoundHandler() }
