package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// terminalWidth is the width of w in columns, 0 when w is no terminal.
func terminalWidth(w any) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

func isTerminal(w any) bool { return terminalWidth(w) > 0 }

// colours tells whether w takes colours (https://no-color.org).
func colours(w any) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// confirm asks before more than one thing is destroyed. Without a terminal to
// ask on, --yes is needed.
func (p *program) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(p.env.Stdin) || !isTerminal(p.env.Stderr) {
		return usagef("add --yes, or --dry-run to see what it would do", "%s: not without being asked", question)
	}
	_, _ = fmt.Fprintf(p.env.Stderr, "%s? [y/N] ", question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(p.env.Stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
		return failuref("", "nothing was done")
	}
}

// progress shows how far long work is in one line, on a terminal only.
type progress struct {
	w     io.Writer // nil: no terminal
	width func() int
	begun time.Time

	mu    sync.Mutex
	shown time.Time // zero: the line is empty
	text  string    // what it says
}

// progressEvery keeps the line readable and the work fast.
const progressEvery = 100 * time.Millisecond

func (p *program) newProgress() *progress {
	if !isTerminal(p.env.Stderr) {
		return &progress{}
	}
	return &progress{w: p.env.Stderr, width: func() int { return terminalWidth(p.env.Stderr) }, begun: time.Now()}
}

// show replaces the line when it is time to.
func (g *progress) show(format string, args ...any) {
	if g.w == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.shown) < progressEvery {
		return
	}
	g.shown, g.text = time.Now(), fmt.Sprintf(format, args...)
	g.draw()
}

// draw writes the line, cut to the terminal's width: what wraps can't be
// replaced. g.mu is held.
func (g *progress) draw() {
	text := g.text
	if width := g.width(); width > 0 && len(text) >= width {
		text = truncate(text, width-1)
	}
	_, _ = io.WriteString(g.w, "\r\x1b[K"+text)
}

// done removes the line.
func (g *progress) done() {
	if g.w == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clear()
}

func (g *progress) clear() {
	if !g.shown.IsZero() {
		_, _ = io.WriteString(g.w, "\r\x1b[K")
		g.shown = time.Time{}
	}
}

// above is a writer of whole lines to where the line is: they stand above it.
func (g *progress) above(w io.Writer) io.Writer {
	if g.w == nil {
		return w
	}
	return &lineAbove{g, w}
}

type lineAbove struct {
	progress *progress
	w        io.Writer
}

func (l *lineAbove) Write(b []byte) (int, error) {
	l.progress.mu.Lock()
	defer l.progress.mu.Unlock()
	g := l.progress
	if g.shown.IsZero() {
		return l.w.Write(b)
	}
	_, _ = io.WriteString(g.w, "\r\x1b[K")
	n, err := l.w.Write(b)
	g.draw()
	return n, err
}

// perSecond is n by the time since the begin.
func (g *progress) perSecond(n int) float64 {
	return float64(n) / max(time.Since(g.begun).Seconds(), 0.001)
}
