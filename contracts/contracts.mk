# The contracts' own targets; the Makefile includes this file. Each needs what `make setup` installs and nothing else.
FORGE := FOUNDRY_DISABLE_NIGHTLY_WARNING=1 node_modules/.bin/forge
.PHONY: contracts contracts-abi contracts-build contracts-deep contracts-lint contracts-trees contracts-vectors coverage
.PHONY: differential-deep forge-deep gas halmos mutation mutation-duels slither

contracts: setup contracts-build contracts-lint contracts-trees contracts-vectors ## build, fast tests, lint, gas and layout check of the contracts
	@$(FORGE) test --no-match-contract 'GasTest' -q
	@$(MAKE) --no-print-directory gas
	@$(PY) contracts/tools/ship_abi.py --check
	@echo "contracts: ok"

contracts-build: setup
	@$(FORGE) build -q

contracts-abi: contracts-build ## copy ABI and bytecode into node/abi
	@$(PY) contracts/tools/ship_abi.py

contracts-lint: setup
	@$(FORGE) fmt --check
	@node_modules/.bin/solhint --disc --noPoster --max-warnings 0 'contracts/src/**/*.sol'
	@echo "solhint: 0 findings"

contracts-trees: contracts-build
	@$(PY) contracts/tools/trees.py
	@$(PY) contracts/tools/layout.py --check

contracts-vectors: setup
	@$(PY) contracts/tools/vectors.py --check

gas: contracts-build ## gas table, compared with docs/figures/gas.json
	@$(FORGE) test --match-contract GasTest --isolate -q
	@$(PY) contracts/tools/gas.py --check

coverage: setup ## line and branch coverage of contracts/src
	@$(PY) contracts/tools/coverage.py

halmos: setup ## symbolic checks
	@$(PY) contracts/tools/halmos.py

slither: setup ## static analysis, every suppression with its reason
	@$(PY) contracts/tools/slither.py

mutation: setup contracts-build ## mutants of the escrow and the registry against the test suite; survivors must be explained
	@$(PY) contracts/tools/mutate.py --group escrow

mutation-duels: setup contracts-build ## the same of the duels contracts
	@$(PY) contracts/tools/mutate.py --group duels $(MUTATION_ARGS)

contracts-deep: contracts ## the long proofs: 1,000 x 100 invariants, 10,000 fuzz runs, 50,000 differential steps
	@nice $(MAKE) --no-print-directory -j2 --output-sync=target differential-deep forge-deep halmos slither coverage
	@echo "contracts-deep: ok"

forge-deep: contracts-build ## every contract test with the deep profile
	@FOUNDRY_PROFILE=deep $(FORGE) test --no-match-contract 'GasTest'

differential-deep: setup ## the Python models of Escrow and Duels against the bytecode, step by step
	@$(PY) -m pytest tests/differential -m slow -q
