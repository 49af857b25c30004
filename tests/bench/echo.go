// SPDX-License-Identifier: MIT

// The echo server of echo.c, with Go's net: see there.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

func serve(c net.Conn) {
	defer c.Close()
	data := make([]byte, 4096)
	for {
		n, err := c.Read(data)
		if err != nil {
			return
		}
		if _, err := c.Write(data[:n]); err != nil {
			return
		}
	}
}

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: cannot listen:", err)
		os.Exit(1)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}
