package message

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/queuemill/queuemill/internal/reason"
)

const (
	// maxValue is how long the value of a variable may be, in bytes. Linux
	// takes 128 KiB for name and value of one.
	maxValue = 64 << 10
	// maxEnv is how large the message's variables may be together, in bytes,
	// each with its = and its NUL.
	maxEnv = 256 << 10
)

// attributePrefix is what the variables of message attributes begin with.
const attributePrefix = "QUEUEMILL_ATTR_"

// environment makes the message's variables, in the order standard ones,
// attributes by name, the format's own, message.env as written.
func (r *Reader) environment(in Input, c *content, key string) ([]EnvVar, *reason.Cause) {
	env := []EnvVar{
		{"QUEUEMILL_MESSAGE_ID", in.ID},
		{"QUEUEMILL_IDEMPOTENCY_KEY", key},
	}
	if r.owner.Value != "" {
		env = append(env, r.owner)
	}
	env = append(env, attributeEnv(c.attributes)...)
	env = append(env, c.env...)
	sources := make([]string, len(env), len(env)+len(r.fields))
	for _, f := range r.fields {
		value, missing := f.find(c.document)
		switch {
		case missing == "":
			env = append(env, EnvVar{f.name, value.text()})
		case f.fallback != nil:
			env = append(env, EnvVar{f.name, *f.fallback})
		default:
			return nil, causef(reason.FieldMissing, "%s (wanted for %s; a default would stand in for it)", missing, f.name)
		}
		sources = append(sources, " (field "+f.path+")")
	}
	size := 0
	for i, v := range env {
		if what := unusable(v.Value); what != "" {
			return nil, causef(reason.UnusableValue, "the value of %s%s %s", v.Name, sources[i], what)
		}
		size += len(v.Name) + len(v.Value) + 2
		if size > maxEnv {
			return nil, causef(reason.UnusableValue,
				"the variables of the message are larger than 256 KiB together; %s%s is the one that is too much; read large values from QUEUEMILL_MESSAGE_FILE",
				v.Name, sources[i])
		}
	}
	return env, nil
}

// unusable says why an environment can't hold value, "" when it can.
func unusable(value string) string {
	switch {
	case strings.IndexByte(value, 0) >= 0:
		return "holds a NUL byte, which no environment variable can"
	case len(value) > maxValue:
		return "is larger than 64 KiB; read it from QUEUEMILL_MESSAGE_FILE"
	case !utf8.ValidString(value):
		return "is not UTF-8"
	}
	return ""
}

// attributeEnv makes QUEUEMILL_ATTR_<NAME> of each attribute that is text. The
// attributes file has all of them: binary ones, and those whose names are the
// same after folding, are there alone.
func attributeEnv(attributes map[string]Attribute) []EnvVar {
	folded := make(map[string]int, len(attributes))
	for name := range attributes {
		folded[fold(name)]++
	}
	var env []EnvVar
	for name, a := range attributes {
		if folded[fold(name)] == 1 && !a.binary() {
			env = append(env, EnvVar{attributePrefix + fold(name), a.StringValue})
		}
	}
	slices.SortFunc(env, func(a, b EnvVar) int { return strings.Compare(a.Name, b.Name) })
	return env
}

func (a Attribute) binary() bool {
	return a.DataType == "Binary" || strings.HasPrefix(a.DataType, "Binary.")
}

// fold makes the name of a variable of an attribute's: ASCII letters in upper
// case, all but letters, digits and _ as _.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, name)
}
