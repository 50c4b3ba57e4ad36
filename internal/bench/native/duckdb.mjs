// Writes the rows of a Parquet file that are in memory as another one with DuckDB's COPY.
// Usage: node duckdb.mjs INPUT OUTPUT THREADS. Prints what a child of the benchmark prints.
import { DuckDBInstance } from '@duckdb/node-api'

const [input, output, threads] = process.argv.slice(2)
const quoted = (text) => "'" + text.replaceAll("'", "''") + "'"
const db = await (await DuckDBInstance.create(':memory:', { threads })).connect()
await db.run(`CREATE TABLE sale AS FROM read_parquet(${quoted(input)})`)
const start = process.hrtime.bigint()
await db.run(`COPY sale TO ${quoted(output)} (FORMAT parquet, COMPRESSION zstd)`)
const nanoseconds = Number(process.hrtime.bigint() - start)
const rows = (await db.runAndReadAll(`SELECT count(*) FROM read_parquet(${quoted(output)})`)).getRows()
console.log(JSON.stringify({ nanoseconds, rows: Number(rows[0][0]) }))
