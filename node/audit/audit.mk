.PHONY: frauds audit-bench

frauds: setup ## every seeded fraud is caught, every honest history passes (last line: N passed, N failed)
	@$(PY) -m tests.frauds.run

audit-bench: setup ## how fast the auditor is: 100,000 receipts on one core; writes docs/figures/audit.json
	@$(PY) -m tests.bench.bench_audit $(AUDIT_BENCH_ARGS)
