package message

import "strings"

// Expand replaces each $(NAME) in s by what lookup says, as Kubernetes does it
// in a container's command, args and env
// (kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables):
//
//   - a name that lookup does not know stays as it is written;
//   - $$ is one $, so $$(NAME) is the text $(NAME);
//   - what a variable holds is not expanded again;
//   - a $ before anything else, and a $( that is never closed, are text.
//
// It differs in one thing: Kubernetes mangles a character beyond ASCII that
// follows a $, here it stays what it is.
func Expand(s string, lookup func(string) (string, bool)) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var out strings.Builder
	lastClose := strings.LastIndexByte(s, ')')
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			out.WriteString(s)
			return out.String()
		}
		out.WriteString(s[:i])
		s, lastClose = s[i:], lastClose-i

		end := 2 // of what is read, "$" and the character after it
		switch {
		case s[1] == '$':
			out.WriteByte('$')
		case s[1] == '(' && lastClose > 1:
			end = strings.IndexByte(s, ')') + 1
			if value, ok := lookup(s[2 : end-1]); ok {
				out.WriteString(value)
			} else {
				out.WriteString(s[:end])
			}
		default:
			out.WriteString(s[:2])
		}
		s, lastClose = s[end:], lastClose-end
	}
}
