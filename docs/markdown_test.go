package docs_test

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// block is a fenced block of a document.
type block struct {
	line    int // of its first fence, from 1
	lang    string
	text    string
	shell   bool
	output  bool   // of the command before it
	stopped bool   // no server runs any more
	notRun  string // why it is not run
}

var (
	fence     = regexp.MustCompile("^( *)(`{3,}|~{3,}) *([^`]*)$")
	directive = regexp.MustCompile(`^<!-- *(.*?) *-->$`)
)

// parse returns the fenced blocks of a document. A directive holds for the block that begins on the next
// line that is not empty.
func parse(t *testing.T, file string) []block {
	t.Helper()
	blocks, _ := scan(t, file, read(t, file))
	return blocks
}

// scan cuts a document into its fenced blocks and the prose around them.
func scan(t *testing.T, file, text string) (blocks []block, prose []string) {
	t.Helper()
	var b *block
	open, said := "", ""
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case b != nil && m != nil && strings.HasPrefix(m[2], open) && m[3] == "":
			blocks = append(blocks, *b)
			b = nil
		case b != nil:
			b.text += line + "\n"
		case m != nil:
			b = &block{line: i + 1, lang: strings.TrimSpace(m[3])}
			open = m[2]
			direct(t, file, b, said)
			said = ""
		default:
			if d := directive.FindStringSubmatch(strings.TrimSpace(line)); d != nil {
				said = d[1]
			} else if strings.TrimSpace(line) != "" {
				said = ""
			}
			prose = append(prose, line)
		}
	}
	if b != nil {
		t.Errorf("%s:%d: the block has no end", file, b.line)
	}
	return blocks, prose
}

func direct(t *testing.T, file string, b *block, said string) {
	t.Helper()
	b.shell = b.lang == "sh"
	if slices.Contains([]string{"bash", "shell", "console", "shell-session", "zsh"}, b.lang) {
		t.Errorf("%s:%d: write sh, not %s, so that the block is run", file, b.line, b.lang)
	}
	why, notRun := strings.CutPrefix(said, "not run:")
	switch {
	case notRun:
		if b.notRun = strings.TrimSpace(why); b.notRun == "" {
			t.Errorf("%s:%d: say why it is not run", file, b.line)
		}
	case said == "output":
		b.output = true
	case said == "stopped":
		b.stopped = true
	}
	if b.output == b.shell && said == "output" || !b.shell && (notRun || b.stopped) {
		t.Errorf("%s:%d: %q does not fit a block of %q", file, b.line, said, b.lang)
	}
}

func TestScan(t *testing.T) {
	text := "a\n<!-- not run: no broker -->\n\n```sh\nx\n```\n<!-- output -->\n```json\n{}\n```\nb\n```sh\n# c\ny \\\n z\nw 'a\nb'\n```\n````\n```sh\n````\n<!-- not run: gone -->\nprose\n```sh\nv\n```\n"
	got, prose := scan(t, "text", text)
	if len(got) != 5 || got[0].notRun != "no broker" || !got[0].shell || !got[1].output || got[1].text != "{}\n" ||
		!got[2].shell || got[2].notRun != "" || got[2].line != 12 || got[3].shell || got[3].text != "```sh\n" || got[4].notRun != "" {
		t.Errorf("%+v", got)
	}
	if want := []string{"a", "<!-- not run: no broker -->", "", "<!-- output -->", "b", "<!-- not run: gone -->", "prose", ""}; !slices.Equal(prose, want) {
		t.Errorf("%q", prose)
	}
	if c := commands(t, "text", got[2]); len(c) != 2 || c[0] != "y \\\n z" || c[1] != "w 'a\nb'" {
		t.Errorf("%q", c)
	}
}

var (
	codeSpan = regexp.MustCompile("`[^`]*`")
	link     = regexp.MustCompile(`\]\(<?([^)>\s]+)>?(?: "[^"]*")?\)`)
	linkDef  = regexp.MustCompile(`^\[[^\]]+\]: *<?([^>\s]+)>?`)
	heading  = regexp.MustCompile(`^#{1,6} +(.*?)[ #]*$`)
)

// TestLinks follows every relative link, to headings too.
func TestLinks(t *testing.T) {
	followed := 0
	for _, file := range documents(t) {
		_, prose := scan(t, file, read(t, file))
		text := codeSpan.ReplaceAllString(strings.Join(prose, "\n"), "code")
		found := link.FindAllStringSubmatch(text, -1)
		for line := range strings.Lines(text) {
			if m := linkDef.FindStringSubmatch(line); m != nil {
				found = append(found, m)
			}
		}
		for _, m := range found {
			u, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: link %s: %v", file, m[1], err)
				continue
			}
			if u.Scheme == "" && u.Host == "" {
				follow(t, file, u)
				followed++
			}
		}
	}
	if followed < 20 {
		t.Errorf("only %d links: is the reading of links broken?", followed)
	}
}

func follow(t *testing.T, file string, u *url.URL) {
	t.Helper()
	target := file
	if u.Path != "" {
		target = path.Join(path.Dir(file), u.Path)
	}
	if strings.HasPrefix(target, "..") || path.IsAbs(target) {
		t.Errorf("%s: link %s leaves the repository", file, u)
		return
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil {
		t.Errorf("%s: link %s: there is no %s", file, u, target)
		return
	}
	if u.Fragment == "" || path.Ext(target) != ".md" {
		return
	}
	if !slices.Contains(anchors(t, target), u.Fragment) {
		t.Errorf("%s: link %s: %s has no such heading", file, u, target)
	}
}

// anchors are the names by which the headings of a document are linked to.
func anchors(t *testing.T, file string) []string {
	t.Helper()
	_, prose := scan(t, file, read(t, file))
	var out []string
	for _, line := range prose {
		if m := heading.FindStringSubmatch(line); m != nil {
			out = append(out, strings.Map(func(r rune) rune {
				switch {
				case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
					return unicode.ToLower(r)
				case r == ' ':
					return '-'
				}
				return -1
			}, m[1]))
		}
	}
	return out
}
