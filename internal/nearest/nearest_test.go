package nearest

import "testing"

func TestToFindsWhatWasMeant(t *testing.T) {
	names := []string{"ping", "pong", "thumbnails", "thumbnails-dead", "tasks.fifo"}
	for name, want := range map[string]string{
		"pnig":       "ping",
		"pign":       "ping",
		"Ping":       "ping",
		"pang":       "ping", // as near as pong: the first
		"thumnails":  "thumbnails",
		"thumbnial":  "thumbnails",
		"tumbnial":   "", // three away
		"thumbnails": "thumbnails",
		"tasks":      "tasks.fifo",
		"thumb":      "", // two begin so
		"nothing":    "",
		"x":          "",
		"":           "",
	} {
		if got := To(name, names); got != want {
			t.Errorf("To(%q) is %q, want %q", name, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"", "abc"}: 3, {"abc", ""}: 3, {"kitten", "sitting"}: 3, {"ab", "ba"}: 1, {"file", "flie"}: 1, {"same", "same"}: 0,
	} {
		if got := Distance(pair[0], pair[1]); got != want {
			t.Errorf("Distance(%q, %q) is %d, want %d", pair[0], pair[1], got, want)
		}
	}
}
