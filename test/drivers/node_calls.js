// The calls of the plan, and the lives of many jobs at once, with node-postgres.
//
//     node node_calls.js PLAN [--named]
//
// node-postgres uses unnamed prepared statements, which every pooler passes on; with --named the work is done with named
// ones, for direct connections and poolers that follow them. It gives bigint as strings, so tokens stay exact; what is
// parsed from JSON does not, so the facts of the fixture are strings too.
'use strict';

const fs = require('fs');
const { Pool } = require('pg');

const named = process.argv.includes('--named');
const plan = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const workers = 4;
const jobs = 40;
let passed = 0;
let failed = 0;

function check(what, got, expected) {
  if (JSON.stringify(got) === JSON.stringify(expected)) {
    passed++;
  } else {
    failed++;
    console.log(`${what}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
  }
}

function filled(value, facts) {
  if (value === null) return null;
  if (Array.isArray(value)) return value.map((each) => filled(each, facts));
  return value.replace(/@(\w+)@/g, (word, name) => (name in facts ? facts[name] : word));
}

// What a program would have at hand: numbers for integers, strings for bigint, objects for jsonb.
function nativeValue(type, value) {
  if (value === null) return null;
  if (Array.isArray(value)) return value.map((each) => nativeValue(type.slice(0, -2), each));
  if (type === 'integer' || type === 'double precision') return Number(value);
  if (type === 'boolean') return value === 'true';
  return type === 'jsonb' ? JSON.parse(value) : value;
}

function query(client, name, text, values) {
  return client.query(named ? { name, text, values } : { text, values });
}

async function runPlan(pool) {
  for (const call of plan) {
    const { rows } = await pool.query('CALL contract.rebuild()');
    const list = call.arguments.map((each, n) => `${each.name} => $${n + 1}`).join(', ');
    const values = call.arguments.map((each) => nativeValue(each.type, filled(each.value, rows[0].facts)));
    let got = 'ok';
    try {
      await pool.query(`${call.kind} ${call.routine}(${list})`, values);
    } catch (error) {
      got = error.code || String(error);
    }
    check(call.name, got, call.expect);
  }
}

// Fails the first attempt, completes the second in the transaction of its effect.
async function handle(client, job, done) {
  if (typeof job.lease_token !== 'string' || job.lease_token !== job.token_text) {
    throw new Error(`token ${job.token_text} became ${job.lease_token}`);
  }
  if (job.attempt === 1) {
    await query(client, 'fail', 'SELECT durable_work.fail($1, $2, $3)', [job.job_id, job.lease_token, { attempt: 1 }]);
    return;
  }
  await client.query('BEGIN');
  await query(client, 'effect', 'INSERT INTO contract.effect VALUES ($1)', [job.job_id]);
  await query(client, 'complete', 'SELECT durable_work.complete($1, $2, result => $3)', [job.job_id, job.lease_token, { ok: true }]);
  await client.query('COMMIT');
  done.push(job.job_id);
}

async function work(pool, worker, done) {
  const client = await pool.connect();
  try {
    while (done.length < jobs) {
      await query(client, 'wait', 'CALL durable_work.wait_for_work($1, $2)', [['node'], '50 ms']);
      const { rows } = await query(client, 'claim',
        'SELECT job_id, lease_token, attempt, lease_token::text AS token_text FROM durable_work.claim(queue => $1, worker => $2, max_jobs => $3)',
        ['node', worker, 3]);
      for (const job of rows) await handle(client, job, done);
    }
  } finally {
    client.release();
  }
}

async function live(pool) {
  await pool.query("SELECT durable_work.create_queue($1, backoff => 'fixed', backoff_base => '0')", ['node']);
  await pool.query('CREATE TABLE contract.effect (job bigint PRIMARY KEY)');
  const payloads = Array.from({ length: jobs }, (_, n) => ({ n }));
  const enqueued = (await pool.query('SELECT job_id FROM durable_work.enqueue_many($1, $2)', ['node', payloads])).rows;
  const done = [];
  await Promise.all(Array.from({ length: workers }, (_, n) => work(pool, `worker ${n}`, done)));
  check('every job was completed once', [...done].sort(), enqueued.map((row) => row.job_id).sort());
  const effects = (await pool.query('SELECT job FROM contract.effect')).rows;
  check('with its effect', effects.map((row) => row.job).sort(), [...done].sort());
  await pool.query('DROP TABLE contract.effect');
  await pool.query('SELECT durable_work.drop_queue($1)', ['node']);
}

async function main() {
  const pool = new Pool({ max: workers + 1 });
  await runPlan(pool);
  await live(pool);
  await pool.end();
  console.log(`passed ${passed} failed ${failed}`);
  process.exitCode = failed > 0 ? 1 : 0;
}

main().catch((error) => {
  console.log(error.stack);
  process.exitCode = 1;
});
