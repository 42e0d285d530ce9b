.PHONY: disk-faults bench-ledger bench-queries
disk-faults: setup ## every statement of every ledger write fails, on SQLite and PostgreSQL: nothing is served without a durable row
	@$(PY) -m tests.faults.disk_faults

bench-ledger: setup ## durable charges a second of one process (SQLite, synchronous=FULL)
	@$(PY) -m tests.bench.bench_ledger

bench-queries: setup ## 1,000,000 receipts written durably, then what auditors ask; writes docs/figures/queries.json
	@$(PY) -m tests.bench.bench_queries
