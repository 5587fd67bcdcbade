package debug_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/debug"
)

func Example() {
	users, err := cache.New(cache.Options[string, int]{})
	if err != nil {
		panic(err)
	}
	defer users.Close()
	page, err := debug.New(debug.Options{})
	if err != nil {
		panic(err)
	}
	page.Add("users", debug.Cache(users))
	mux := http.NewServeMux() // of the listener for operators
	mux.Handle("/debug/snowfence/", page)
	server := httptest.NewServer(mux)
	defer server.Close()

	answer, err := server.Client().Get( //nolint:noctx // in a process
		server.URL + "/debug/snowfence/?format=text")
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n") // after the time
	fmt.Print(rest)
	// Output:
	// nothing needs attention
	//
	// users (cache)
}
