package manifest

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

func TestEveryFieldIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/MANIFEST.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, places := range newSuggester(reflect.TypeFor[v1alpha1.QueueJobSpec]()).places {
		written := func(as string) bool { return strings.Contains(string(text), as) }
		if !written("`"+name+"`") && !written("."+name+"`") && !written(name+": …") {
			t.Errorf("docs/MANIFEST.md says nothing of %s (%s)", name, places)
		}
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if _, _, err := Parse("docs/MANIFEST.md", []byte(example)); err != nil {
		t.Errorf("the first example: %v", err)
	}
}
