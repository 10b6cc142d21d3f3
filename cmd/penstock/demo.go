package main

type demoCmd struct{}

func (demoCmd) Run(*env) error { return nil }
