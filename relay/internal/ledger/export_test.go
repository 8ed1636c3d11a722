package ledger

// Watching reports whether Watch has the connection now.
func (l *Ledger) Watching() bool {
	loan := l.link.loan
	loan.mu.Lock()
	defer loan.mu.Unlock()
	return loan.unwatch != nil
}
