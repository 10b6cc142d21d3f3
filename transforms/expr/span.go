package expr

import (
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
)

// span is the text that n was parsed from, in bytes. The parser locates most nodes at one token
// (an operator, a bracket), so spans are put together from what is below and the brackets around.
func (t *tree) span(n ast.Node) (offset, length int) {
	if t.tokens == nil {
		t.tokens, _ = lexer.Lex(file.NewSource(t.src)) // parsed before: cannot err
	}
	loc := t.close(t.extent(n))
	offset = t.offset(loc.From)
	return offset, t.offset(loc.To) - offset
}

// extent is the span of n in runes, without the parentheses around it.
func (t *tree) extent(n ast.Node) file.Location {
	loc := n.Location()
	switch n := n.(type) {
	case *ast.UnaryNode:
		return join(loc, t.extent(n.Node))
	case *ast.BinaryNode:
		return join(t.extent(n.Left), t.extent(n.Right))
	case *ast.ChainNode:
		return t.extent(n.Node)
	case *ast.MemberNode:
		return join(t.extent(n.Node), loc)
	case *ast.SliceNode:
		return join(t.extent(n.Node), loc)
	case *ast.ConditionalNode:
		return join(t.extent(n.Cond), t.extent(n.Exp2))
	case *ast.CallNode:
		return t.call(join(t.extent(n.Callee), loc), loc)
	case *ast.BuiltinNode:
		return t.call(loc, loc)
	case *ast.SequenceNode:
		return join(t.extent(n.Nodes[0]), t.extent(n.Nodes[len(n.Nodes)-1]))
	}
	return loc
}

// call extends loc by the parenthesis that opens behind name; close finds its end.
func (t *tree) call(loc, name file.Location) file.Location {
	for _, tok := range t.tokens {
		if tok.From >= name.To {
			if tok.Is(lexer.Bracket, "(") {
				return join(loc, tok.Location)
			}
			break
		}
	}
	return loc
}

func join(a, b file.Location) file.Location {
	return file.Location{From: min(a.From, b.From), To: max(a.To, b.To)}
}

// close widens loc until every bracket in it has its partner.
func (t *tree) close(loc file.Location) file.Location {
	var open []lexer.Token
	for _, tok := range t.tokens {
		if tok.Kind != lexer.Bracket {
			continue
		}
		switch tok.Value {
		case "(", "[", "{":
			open = append(open, tok)
			continue
		}
		if len(open) == 0 {
			return loc
		}
		first := open[len(open)-1]
		open = open[:len(open)-1]
		if contains(loc, first.Location) != contains(loc, tok.Location) {
			// Inner pairs come first, so widening by an outer one can only add whole pairs.
			loc = join(loc, join(first.Location, tok.Location))
		}
	}
	return loc
}

func contains(a, b file.Location) bool { return a.From <= b.From && b.To <= a.To }
