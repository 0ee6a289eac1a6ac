package breaker_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

// wire is a server at the other end of a pipe: for each request, what it does with the connection.
type wire func(conn net.Conn, req *http.Request)

// says writes a response, word for word, and cuts the connection.
func says(response string) wire {
	return func(conn net.Conn, _ *http.Request) {
		_, _ = io.WriteString(conn, strings.ReplaceAll(response, "\n", "\r\n"))
	}
}

// transport is a real HTTP transport whose connections are pipes to the server, so that it runs in a bubble.
func (w wire) transport(requests *atomic.Int32) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if w == nil {
				return nil, &net.OpError{Op: "dial", Err: errDown}
			}
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				req, err := http.ReadRequest(bufio.NewReader(server))
				if err != nil {
					return
				}
				requests.Add(1)
				w(server, req)
			}()
			return client, nil
		},
	}
}

type guarded struct {
	breaker  *breaker.Breaker
	client   *http.Client
	limiter  *breaker.Limiter
	bulkhead *breaker.Bulkhead
	requests atomic.Int32 // the server's own count
}

// guard puts a client in front of a server. The breaker opens at the first failure unless told otherwise.
func guard(t testing.TB, w wire, cfg breaker.Config) *guarded {
	t.Helper()
	if cfg.FailureThreshold == 0 {
		cfg.FailureThreshold = 1
	}
	g := &guarded{breaker: newBreaker(t, cfg), limiter: newLimiter(t, breaker.LimiterConfig{}), bulkhead: newBulkhead(t, breaker.BulkheadConfig{})}
	transport, err := breaker.NewTransport(breaker.TransportConfig{
		Base: w.transport(&g.requests), Breaker: g.breaker, Limiter: g.limiter, Bulkhead: g.bulkhead,
	})
	require.NoError(t, err)
	g.client = &http.Client{Transport: transport}
	return g
}

// get makes a request and reads all of the answer.
func (g *guarded) get(ctx context.Context) (status int, body string, err error) {
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://llm.example/v1", nil)
	resp, err := g.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(all), err
}

func TestTransportClassifies(t *testing.T) {
	const day = "Date: Mon, 02 Jan 2006 15:04:05 GMT\n"
	tests := map[string]struct {
		server   wire
		status   int
		opens    time.Duration // 0: stays closed
		fails    bool          // the client gets an error
		succeeds uint64
	}{
		"200":                             {says("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"), 200, 0, false, 1},
		"200 until the end":               {says("HTTP/1.1 200 OK\n\nhello"), 200, 0, false, 1},
		"200 in chunks":                   {says("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n"), 200, 0, false, 1},
		"204":                             {says("HTTP/1.1 204 No Content\n\n"), 204, 0, false, 1},
		"301 without a place":             {says("HTTP/1.1 304 Not Modified\n\n"), 304, 0, false, 1},
		"400":                             {says("HTTP/1.1 400 Bad Request\nContent-Length: 2\n\nno"), 400, 0, false, 1},
		"404":                             {says("HTTP/1.1 404 Not Found\nContent-Length: 0\n\n"), 404, 0, false, 1},
		"500":                             {says("HTTP/1.1 500 Internal Server Error\nContent-Length: 2\n\nno"), 500, reset, false, 0},
		"500 with Retry-After":            {says("HTTP/1.1 500 Internal Server Error\nRetry-After: 7\nContent-Length: 0\n\n"), 500, reset, false, 0},
		"502":                             {says("HTTP/1.1 502 Bad Gateway\nContent-Length: 0\n\n"), 502, reset, false, 0},
		"503":                             {says("HTTP/1.1 503 Service Unavailable\nContent-Length: 0\n\n"), 503, reset, false, 0},
		"503 with Retry-After":            {says("HTTP/1.1 503 Service Unavailable\nRetry-After: 7\nContent-Length: 0\n\n"), 503, 7 * time.Second, false, 0},
		"429":                             {says("HTTP/1.1 429 Too Many Requests\nContent-Length: 0\n\n"), 429, reset, false, 0},
		"429 with Retry-After":            {says("HTTP/1.1 429 Too Many Requests\nRetry-After: 90\nContent-Length: 0\n\n"), 429, 90 * time.Second, false, 0},
		"429 with a date":                 {says("HTTP/1.1 429 Too Many Requests\n" + day + "Retry-After: Mon, 02 Jan 2006 15:05:05 GMT\nContent-Length: 0\n\n"), 429, time.Minute, false, 0},
		"429 with a huge time":            {says("HTTP/1.1 429 Too Many Requests\nRetry-After: 99999999999999999999\nContent-Length: 0\n\n"), 429, 10 * reset, false, 0},
		"429 with nonsense":               {says("HTTP/1.1 429 Too Many Requests\nRetry-After: soon\nContent-Length: 0\n\n"), 429, reset, false, 0},
		"429 with a time in the past":     {says("HTTP/1.1 429 Too Many Requests\n" + day + "Retry-After: Mon, 02 Jan 2006 15:04:00 GMT\nContent-Length: 0\n\n"), 429, reset, false, 0},
		"refused connection":              {nil, 0, reset, true, 0},
		"cut before the answer":           {says(""), 0, reset, true, 0},
		"cut in the head":                 {says("HTTP/1.1 200 OK\nContent-Le"), 0, reset, true, 0},
		"cut in the middle of the body":   {says("HTTP/1.1 200 OK\nContent-Length: 50\n\nhello"), 200, reset, true, 0},
		"cut in the middle of the chunks": {says("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n"), 200, reset, true, 0},
		"hangs before the answer":         {func(net.Conn, *http.Request) { time.Sleep(time.Hour) }, 0, reset, true, 0},
		"hangs in the middle of the body": {func(c net.Conn, r *http.Request) {
			says("HTTP/1.1 200 OK\nContent-Length: 50\n\nhello")(c, r)
			time.Sleep(time.Hour)
		}, 200, reset, true, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := guard(t, tt.server, breaker.Config{})
				status, _, err := g.get(t.Context())
				if tt.fails {
					require.Error(t, err)
				} else {
					require.NoError(t, err)
				}
				assert.Equal(t, tt.status, status, "a response comes back as it is")
				s := g.breaker.Snapshot()
				assert.Equal(t, tt.succeeds, s.Totals.Succeeded)
				if tt.opens == 0 {
					assert.Equal(t, breaker.Closed, s.State)
				} else {
					assert.Equal(t, breaker.Open, s.State)
					assert.Equal(t, tt.opens, s.RetryAfter)
					assert.Error(t, s.LastErr)
				}
				running, _ := g.bulkhead.Load()
				assert.Zero(t, running, "the place is given back")
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func TestTransportTimeoutIsTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, func(net.Conn, *http.Request) { time.Sleep(time.Hour) }, breaker.Config{})
		start := time.Now()
		_, _, err := g.get(t.Context())
		assert.Equal(t, opTimeout, time.Since(start))
		assert.ErrorIs(t, err, breaker.ErrTimeout)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
		assert.EqualValues(t, 1, g.breaker.Snapshot().Totals.TimedOut)
		time.Sleep(time.Hour)
	})
}

func TestStreamMayGoOnAsLongAsItMakesProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(c net.Conn, _ *http.Request) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for range 20 {
				time.Sleep(opTimeout - time.Second)
				_, _ = io.WriteString(c, "x")
			}
		}
		g := guard(t, slow, breaker.Config{SuccessThreshold: 1})
		halfOpen(t, g.breaker)
		_, body, err := g.get(t.Context())
		require.NoError(t, err)
		assert.Len(t, body, 20)
		assert.Equal(t, breaker.Closed, g.breaker.State(), "nor does its half-open lease run out")
	})
}

func TestTransportCallerGivesUp(t *testing.T) {
	for _, inBody := range []bool{false, true} {
		for _, deadline := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				g := guard(t, func(c net.Conn, _ *http.Request) {
					if inBody {
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhello")
					}
					time.Sleep(time.Hour)
				}, breaker.Config{})
				ctx, cancel := context.WithCancel(t.Context())
				if deadline {
					ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				}
				defer cancel()
				time.AfterFunc(2*time.Second, cancel)
				_, _, err := g.get(ctx)
				if deadline {
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					assert.Equal(t, breaker.Open, g.breaker.State(), "a hung server under short deadlines")
				} else {
					assert.ErrorIs(t, err, context.Canceled)
					assert.Equal(t, breaker.Totals{Ignored: 1}, g.breaker.Snapshot().Totals)
				}
				time.Sleep(time.Hour)
			})
		}
	}
}

func TestBodyClosedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, says("HTTP/1.1 200 OK\nContent-Length: 50\n\nhello"), breaker.Config{})
		resp, err := g.client.Get("http://llm.example")
		require.NoError(t, err)
		assert.Zero(t, g.breaker.Snapshot().Totals.Succeeded, "not yet")
		require.NoError(t, resp.Body.Close())
		_ = resp.Body.Close()
		assert.Equal(t, breaker.Totals{Succeeded: 1}, g.breaker.Snapshot().Totals, "it had answered")
		running, _ := g.bulkhead.Load()
		assert.Zero(t, running)
	})
}

func TestAbandonedBodyOfAProbeLosesItsLease(t *testing.T) { // case 9
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, says("HTTP/1.1 200 OK\nContent-Length: 50\n\nhello"), breaker.Config{})
		halfOpen(t, g.breaker)
		resp, err := g.client.Get("http://llm.example")
		require.NoError(t, err)
		time.Sleep(opTimeout)
		synctest.Wait()
		assert.Equal(t, breaker.Open, g.breaker.State())
		_ = resp.Body.Close()
	})
}

func TestOpenTransportSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, says("HTTP/1.1 503 Service Unavailable\nRetry-After: 20\nContent-Length: 0\n\n"), breaker.Config{})
		_, _, err := g.get(t.Context())
		require.NoError(t, err)
		body := &closing{Reader: strings.NewReader("prompt")}
		_, err = g.client.Post("http://llm.example", "text/plain", body)
		require.ErrorIs(t, err, breaker.ErrOpen)
		var open *breaker.OpenError
		require.ErrorAs(t, err, &open)
		assert.Equal(t, 20*time.Second, open.RetryAfter())
		var status *breaker.StatusError
		require.ErrorAs(t, open.LastErr, &status)
		assert.Equal(t, "HTTP status 503 Service Unavailable, retry after 20s", status.Error())
		assert.True(t, body.closed.Load(), "as a RoundTripper must")
		assert.EqualValues(t, 1, g.requests.Load())
		assert.Equal(t, 20*time.Second, g.limiter.Held())
	})
}

type closing struct {
	io.Reader
	closed atomic.Bool
}

func (c *closing) Close() error { c.closed.Store(true); return nil }

func TestTransportForEachHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		r := newRegistry(t, breaker.RegistryConfig{Config: breaker.Config{FailureThreshold: 1}})
		server := wire(func(c net.Conn, req *http.Request) {
			if req.Host == "bad.example" {
				says("HTTP/1.1 500 Internal Server Error\nContent-Length: 0\n\n")(c, req)
			} else {
				says("HTTP/1.1 200 OK\nContent-Length: 0\n\n")(c, req)
			}
		})
		transport, err := breaker.NewTransport(breaker.TransportConfig{Base: server.transport(&requests), Breakers: r})
		require.NoError(t, err)
		client := &http.Client{Transport: transport}
		_, err = client.Get("http://bad.example/a")
		require.NoError(t, err)
		_, err = client.Get("http://bad.example/b")
		require.ErrorIs(t, err, breaker.ErrOpen)
		_, err = client.Get("http://good.example/a")
		require.NoError(t, err)
		assert.EqualValues(t, 2, requests.Load())
	})
}

func TestTransportOfAnExternal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		e := newExternal(t, breaker.ExternalConfig{Breaker: breaker.Config{FailureThreshold: 1}})
		client := &http.Client{Transport: e.Transport(says("HTTP/1.1 429 Too Many Requests\nRetry-After: 4\nContent-Length: 0\n\n").transport(&requests))}
		resp, err := client.Get("http://llm.example")
		require.NoError(t, err)
		assert.Equal(t, &breaker.StatusError{Code: 429, After: 4 * time.Second}, breaker.CheckResponse(resp))
		assert.Equal(t, 4*time.Second, e.Limiter().Held())
		assert.Equal(t, breaker.Open, e.Breaker().State())
		assert.EqualValues(t, 1, requests.Load(), "nothing is retried here")
	})
	assert.NoError(t, breaker.CheckResponse(&http.Response{StatusCode: 302}))
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestTransportWithAnOddBase(t *testing.T) {
	b := newBreaker(t, breaker.Config{FailureThreshold: 1})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://llm.example", nil)
	over := func(f roundTrip) *breaker.Transport {
		transport, err := breaker.NewTransport(breaker.TransportConfig{Base: f, Breaker: b})
		require.NoError(t, err)
		return transport
	}
	assert.PanicsWithValue(t, "bug", func() {
		_, _ = over(func(*http.Request) (*http.Response, error) { panic("bug") }).RoundTrip(req)
	})
	assert.Equal(t, breaker.Open, b.State(), "counted")
	b.Reset()

	conn, other := net.Pipe()
	defer other.Close()
	resp, err := over(func(req *http.Request) (*http.Response, error) {
		a, ok := breaker.Admitted(req.Context())
		assert.True(t, ok)
		assert.Equal(t, breaker.Closed, a.State)
		return &http.Response{StatusCode: 101, Body: conn}, nil
	}).RoundTrip(req)
	require.NoError(t, err)
	assert.EqualValues(t, 1, b.Snapshot().Totals.Succeeded)
	_, writes := resp.Body.(io.Writer)
	assert.True(t, writes, "an upgraded connection stays one")
	assert.NoError(t, resp.Body.Close())

	_, err = over(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }).RoundTrip(req)
	assert.True(t, err == io.ErrUnexpectedEOF, "errors come back unchanged")
}

func TestTransportConfigIsChecked(t *testing.T) {
	_, err := breaker.NewTransport(breaker.TransportConfig{})
	assert.ErrorContains(t, err, "exactly one of Breaker and Breakers")
	assert.False(t, errors.Is(err, breaker.ErrOpen))
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("-1", "x")
	f.Add("99999999999999999999999", "")
	f.Add("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:00 GMT")
	f.Fuzz(func(t *testing.T, after, date string) {
		d := breaker.RetryAfter(&http.Response{Header: http.Header{"Retry-After": {after}, "Date": {date}}})
		assert.GreaterOrEqual(t, d, time.Duration(0))
		assert.LessOrEqual(t, d, 30*24*time.Hour)
	})
}
