package config

const defaultMetricsListen = "127.0.0.1:9090"

// Metrics says where metrics are served to Prometheus. The zero Metrics: nothing is counted for it.
type Metrics struct {
	Listen string // host:port of this machine alone; empty: there are none
}

// Enabled reports whether there are metrics.
func (m *Metrics) Enabled() bool { return m.Listen != "" }

// Loopback reports whether they are served where only this machine reaches them.
func (m *Metrics) Loopback() bool { return loopback(m.Listen) }

// decodeMetrics decodes the metrics block.
func decodeMetrics(d *decoder, s *section) {
	s.check([]string{"listen"}, nil)
	m := &d.config.Metrics
	m.Listen = defaultMetricsListen
	if text, ok := s.text("listen"); ok {
		m.Listen = text
	}
}

func checkMetrics(c *checker) {
	m, a := &c.config.Metrics, &c.config.API
	switch {
	case !m.Enabled():
	case !validListen(m.Listen):
		c.fail("metrics.listen", "Invalid address", "Write an address and a port, such as %q.", defaultMetricsListen)
	case !m.Loopback():
		c.fail("metrics.listen", "Open metrics", "Anybody who reaches this address could read them. Listen on %q; from another machine "+
			"they can be read at /metrics of the api block's address, with a key.", defaultMetricsListen)
	case m.Listen == a.Listen && !anyPort(m.Listen):
		c.fail("metrics.listen", "Repeated address", "The API listens there. Its /metrics shows the same with a key; write another port.")
	}
}
