.PHONY: disk-faults bench-ledger
disk-faults: setup ## every statement of every ledger write fails, on SQLite and PostgreSQL: nothing is served without a durable row
	@$(PY) -m tests.faults.disk_faults

bench-ledger: setup ## durable charges a second of one process (SQLite, synchronous=FULL)
	@$(PY) -m tests.bench.bench_ledger
