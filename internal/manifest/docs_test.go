package manifest

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

func TestEveryFieldIsDocumented(t *testing.T) {
	for _, page := range []struct {
		spec  reflect.Type
		files []string // the first one's first example is a manifest
	}{
		{reflect.TypeFor[v1alpha1.QueueJobSpec](), []string{"docs/MANIFEST.md"}},
		{reflect.TypeFor[v1alpha1.WorkerPoolSpec](), []string{"docs/WORKERPOOLS.md", "docs/MANIFEST.md"}},
	} {
		var all string
		for _, file := range page.files {
			text, err := os.ReadFile("../../" + file)
			if err != nil {
				t.Fatal(err)
			}
			if all == "" {
				_, rest, _ := strings.Cut(string(text), "```yaml\n")
				example, _, _ := strings.Cut(rest, "```")
				if _, _, err := Parse(file, []byte(example)); err != nil {
					t.Errorf("the first example: %v", err)
				}
			}
			all += string(text)
		}
		written := func(as string) bool { return strings.Contains(all, as) }
		for name, places := range newSuggester(page.spec).places {
			if !written("`"+name+"`") && !written("."+name+"`") && !written(name+": …") {
				t.Errorf("%s says nothing of %s (%s)", page.files, name, places)
			}
		}
	}
}
