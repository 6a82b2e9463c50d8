"""cvc5 as halmos calls it: one SMT-LIB file in, `sat`, `unsat` or `unknown` and a model out.

256-bit products and quotients are too much for solvers that look at bits. Read as integers, with cylindrical
algebraic coverings (https://cvc5.github.io/docs/latest/options.html, solve-bv-as-int and nl-cov), most take a second.
"""

import sys

import cvc5  # type: ignore[import-not-found]


def main(path: str) -> None:
    terms = cvc5.TermManager()
    solver = cvc5.Solver(terms)
    for name, value in {"produce-models": "true", "solve-bv-as-int": "sum", "nl-cov": "true"}.items():
        solver.setOption(name, value)
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, path)
    symbols = parser.getSymbolManager()
    while not (command := parser.nextCommand()).isNull():
        sys.stdout.write(str(command.invoke(solver, symbols)))


if __name__ == "__main__":
    main(sys.argv[1])
