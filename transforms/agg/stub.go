package agg

func (l *Layout) Ordered() bool { return false }
