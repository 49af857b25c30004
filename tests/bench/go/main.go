// SPDX-License-Identifier: MIT

// The benchmarks for Go: main NAME [COUNT], with GOMAXPROCS from the environment. BENCH_LOCK=1
// ties each goroutine of message_2 and buffered_2 to a thread of its own.
package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const (
	spawnBatch = 256
	producers  = 1000
)

func report(metric string, value float64) {
	fmt.Printf("%s %.3f\n", metric, value)
}

func perOperation(name string, start time.Time, count int) {
	report(name, float64(time.Since(start).Nanoseconds())/float64(count))
}

func both(a, b func()) {
	var done sync.WaitGroup
	done.Add(2)
	go func() { a(); done.Done() }()
	go func() { b(); done.Done() }()
	done.Wait()
}

func runSwitch(name string, count int) {
	yielder := func() {
		for i := 0; i < count/2; i++ {
			runtime.Gosched()
		}
	}
	start := time.Now()
	both(yielder, yielder)
	perOperation(name, start, count)
}

func lockIfAsked() {
	if os.Getenv("BENCH_LOCK") == "1" {
		runtime.LockOSThread()
	}
}

func stream(name string, count, capacity int) {
	c := make(chan int, capacity)
	start := time.Now()
	both(func() {
		lockIfAsked()
		for i := 0; i < count; i++ {
			c <- i
		}
	}, func() {
		lockIfAsked()
		value := 0
		for i := 0; i < count; i++ {
			value = <-c
		}
		if value != count-1 {
			panic("out of order")
		}
	})
	perOperation(name, start, count)
}

func runMessage(name string, count int)  { stream(name, count, 0) }
func runBuffered(name string, count int) { stream(name, count, 128) }

func runSpawn(name string, count int) {
	batches := (count + spawnBatch - 1) / spawnBatch
	var done sync.WaitGroup
	batch := func() {
		done.Add(spawnBatch)
		for i := 0; i < spawnBatch; i++ {
			go done.Done()
		}
		done.Wait()
	}
	batch()
	start := time.Now()
	for i := 0; i < batches; i++ {
		batch()
	}
	perOperation(name, start, batches*spawnBatch)
}

func runSelect(name string, count int) {
	c := [2]chan int{make(chan int), make(chan int)}
	start := time.Now()
	both(func() {
		for i := 0; i < count; i++ {
			c[i&1] <- i
		}
	}, func() {
		value := 0
		for i := 0; i < count; i++ {
			select {
			case value = <-c[0]:
			case value = <-c[1]:
			}
		}
		if value != count-1 {
			panic("out of order")
		}
	})
	perOperation(name, start, count)
}

func runMutex(name string, count int) {
	var m sync.Mutex
	start := time.Now()
	for i := 0; i < count; i++ {
		m.Lock()
		m.Unlock()
	}
	perOperation(name, start, count)
}

func runFanIn(name string, count int) {
	c := make(chan int, 128)
	each := count / producers
	start := time.Now()
	for i := 0; i < producers; i++ {
		go func() {
			for i := 0; i < each; i++ {
				c <- i
			}
		}()
	}
	for i := 0; i < each*producers; i++ {
		<-c
	}
	perOperation(name, start, each*producers)
}

// memory returns a field of /proc/self/status that is in KiB, in bytes.
func memory(field string) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range bytes.Split(status, []byte("\n")) {
		if words := bytes.Fields(line); len(words) == 3 && string(words[0]) == field+":" {
			kib, _ := strconv.ParseFloat(string(words[1]), 64)
			return kib * 1024
		}
	}
	panic(field)
}

func runParked(name string, count int) {
	var here, done sync.WaitGroup
	gate := make(chan int)
	rss, pageTables := memory("VmRSS"), memory("VmPTE")
	start := time.Now()
	here.Add(count)
	done.Add(count)
	for i := 0; i < count; i++ {
		go func() { here.Done(); <-gate; done.Done() }()
	}
	here.Wait()
	runtime.Gosched()
	perOperation(name+"_create", start, count)
	report(name+"_rss", (memory("VmRSS")-rss)/float64(count))
	report(name+"_page_tables", (memory("VmPTE")-pageTables)/float64(count))
	maps, _ := os.ReadFile("/proc/self/maps")
	report(name+"_mappings", float64(bytes.Count(maps, []byte("\n"))))
	start = time.Now()
	close(gate)
	done.Wait()
	perOperation(name+"_wake_and_join", start, count)
	report(name+"_peak_rss", memory("VmHWM"))
}

// A timer is armed and disarmed while count others are armed.
func runDeadline(name string, count int) {
	const pairs = 1000000
	random := rand.New(rand.NewSource(1))
	some := func() time.Duration { return time.Hour + time.Duration(random.Int63n(int64(time.Hour))) }
	armed := make([]*time.Timer, count)
	for i := range armed {
		armed[i] = time.AfterFunc(some(), func() {})
	}
	start := time.Now()
	for i := 0; i < pairs; i++ {
		time.AfterFunc(some(), func() {}).Stop()
	}
	perOperation(name, start, pairs)
	runtime.KeepAlive(armed)
}

func main() {
	all := map[string]struct {
		run   func(string, int)
		count int
	}{
		"switch": {runSwitch, 3000000}, "message": {runMessage, 3000000},
		"buffered": {runBuffered, 10000000}, "spawn": {runSpawn, 2000000},
		"select": {runSelect, 2000000}, "mutex": {runMutex, 20000000},
		"message_2": {runMessage, 500000}, "buffered_2": {runBuffered, 5000000},
		"fan_in_2":    {runFanIn, 2000000},
		"parked_100k": {runParked, 100000}, "parked_1m": {runParked, 1000000},
		"deadline_1m": {runDeadline, 1000000},
	}
	bench, known := all[os.Args[1]]
	if !known {
		os.Exit(2)
	}
	if len(os.Args) > 2 {
		bench.count, _ = strconv.Atoi(os.Args[2])
	}
	bench.run(os.Args[1], bench.count)
}
