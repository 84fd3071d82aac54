// Opens docs/simulator in a headless Chromium and uses it as a reader would.
//
//   node test/simulator/browser.mjs PAGE_DIRECTORY WORK_DIRECTORY
//
// Pictures of each part go to WORK_DIRECTORY/pictures. The last line is "passed N failed N".
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Chromium } from './chromium.mjs';

const [directory, work] = process.argv.slice(2);
const address = pathToFileURL(join(directory, 'index.html')).href;
const pictures = join(work, 'pictures');
const kParts = ['loop', 'crash', 'ring', 'tuner'];
const complaints = [];
const requests = [];
let passed = 0;
let failed = 0;

const browser = await Chromium.start(join(work, 'profile'));
const page = (expression) => browser.evaluate(expression);
const quote = JSON.stringify;
const text = (selector) => page(`document.querySelector(${quote(selector)}).textContent`);
const count = (selector) => page(`document.querySelectorAll(${quote(selector)}).length`);
const frames = () => page('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))');

async function click(selector, times = 1) {
  await page(`for (let i = 0; i < ${times}; i++) document.querySelector(${quote(selector)}).click()`);
  await frames();
}

// Steps until the expression is true; a story that never gets there fails.
async function stepUntil(part, expression, most = 400) {
  for (let i = 0; i < most; i++) {
    if (await page(expression)) return;
    await click(`#${part} [data-do=step]`);
  }
  throw new Error(`after ${most} steps not yet: ${expression}`);
}

async function open(width = 1280, features = {}, mobile = false) {
  await browser.size(width, mobile ? 844 : 900, mobile);
  await browser.media({ 'prefers-reduced-motion': 'reduce', 'prefers-color-scheme': 'light', ...features });
  await browser.open(address);
  await frames();
}

async function check(name, body) {
  try {
    await body();
    passed++;
    console.log(`ok ${passed + failed} - ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${passed + failed} - ${name}\n  ${error.stack}`);
  }
}

function equal(value, expected) {
  if (value !== expected) throw new Error(`expected ${quote(expected)}, found ${quote(value)}`);
}

function holds(value, what) {
  if (!value) throw new Error(what);
}

await browser.send('Page.enable');
await browser.send('Runtime.enable');
await browser.send('Log.enable');
await browser.send('Network.enable');
await browser.send('Emulation.setFocusEmulationEnabled', { enabled: true });
browser.on('Runtime.consoleAPICalled', ({ type, args }) => complaints.push(`console.${type}: ${args.map((one) => one.value ?? one.description)}`));
browser.on('Runtime.exceptionThrown', ({ exceptionDetails }) => complaints.push(exceptionDetails.exception?.description ?? exceptionDetails.text));
browser.on('Log.entryAdded', ({ entry }) => complaints.push(`${entry.level}: ${entry.text}`));
browser.on('Network.requestWillBeSent', ({ request }) => requests.push(request.url));

// --- 1: the claim loop --------------------------------------------------------------------------------------------------

await check('with reduced motion nothing plays by itself', async () => {
  await open();
  equal(await text('#loop [data-clock]'), '0:00.0');
  await frames();
  equal(await text('#loop [data-clock]'), '0:00.0');
});

await check('claim loop: jobs are ready, are claimed with attempt and token, and are completed', async () => {
  equal(await count('#loop .chip[data-status=ready]'), 5);
  await stepUntil('loop', `document.querySelector('#loop .chip[data-status=held]') !== null`);
  equal(await text('#loop .chip[data-status=held] .chip-token'), 't41');
  await stepUntil('loop', `Number(document.querySelector('#loop [data-count=completed]').textContent) >= 3`);
  holds(await count('#loop [data-log] li[data-kind=complete]') >= 3, 'the calls are not listed');
});

await check('claim loop: a job that always fails waits for retries and ends as a dead letter; its story is told', async () => {
  await click('#loop [data-try=poison]');
  await stepUntil('loop', `document.querySelector('#loop [data-job]').textContent.includes('waits for its retry')`);
  await stepUntil('loop', `document.querySelector('#loop [data-job]').textContent.includes('dead letter: attempts exhausted')`);
  holds((await text('#loop [data-job]')).includes('3 of 3'), 'not three attempts');
});

await check('claim loop: a worker is killed and started again', async () => {
  await click('#loop [data-kill=worker-B]');
  equal(await text('#loop [data-worker=worker-B] .card-state'), 'killed');
  await click('#loop [data-kill=worker-B]');
  equal(await text('#loop [data-worker=worker-B] .card-state'), 'waits for work');
});

await check('claim loop: the same seed gives the same run, another one another', async () => {
  const runs = [];
  for (const seed of [5, 5, 6]) {
    await page(`(() => { const input = document.querySelector('#loop [data-do=seed]'); input.value = ${seed}; input.dispatchEvent(new Event('change')); })()`);
    await click('#loop [data-do=step]', 40);
    runs.push(await text('#loop [data-log]'));
  }
  equal(runs[0], runs[1]);
  holds(runs[0] !== runs[2], 'two seeds, one run');
});

// --- 2: crash -----------------------------------------------------------------------------------------------------------

await check('crash: the worker that comes back is refused with DW001, and the effect commits once', async () => {
  await stepUntil('crash', `document.querySelector('#crash [data-verdict]').textContent.includes('DW001 lease token 41 of job 1 is stale')`, 20);
  await stepUntil('crash', `document.querySelector('#crash [data-row]').textContent.includes('completed')`, 20);
  equal(await text('#crash [data-row] td:last-child'), '1');
  holds((await text('#crash [data-timeline]')).includes('DW001'), 'the timeline does not show it');
});

await check('crash: finished by id alone, the effect happens twice', async () => {
  await click('#crash [data-try=by-id]');
  await stepUntil('crash', `document.querySelector('#crash [data-row] td:last-child').textContent === '2'`, 20);
});

await check('crash: each story comes to its end', async () => {
  for (const [story, end] of [['dies', 'completed'], ['slow', 'completed'], ['late-beat', 'completed'], ['poison', 'dead_letter']]) {
    await click(`#crash [data-try=${story}]`);
    await stepUntil('crash', `document.querySelector('#crash [data-row]').textContent.includes(${quote(end)})`, 80);
  }
});

await check('crash: buttons stall, wake, kill and start a worker', async () => {
  await click('#crash [data-try=dies]');
  await click('#crash [data-do=step]');
  const button = (which) => text(`#crash [data-${which}=worker-B]`);
  await click('#crash [data-stall=worker-B]');
  equal(await button('stall'), 'Wake');
  await click('#crash [data-stall=worker-B]');
  equal(await button('stall'), 'Stall');
  await click('#crash [data-kill=worker-B]');
  equal(await button('kill'), 'Start');
});

// --- 3: ring ------------------------------------------------------------------------------------------------------------

await check('ring: a typed key leads to its bucket and its owner', async () => {
  holds((await text('#ring [data-chain]')).includes('3305852971'), 'the hash of order:9182');
  holds((await text('#ring [data-chain]')).includes('bucket 331'), 'the bucket of order:9182');
  equal(await text('#ring [data-owner]'), 'worker-C');
  await page(`document.querySelector('#ring-key').select()`);
  await browser.send('Input.insertText', { text: 'café' });
  await frames();
  holds((await text('#ring [data-chain]')).includes('2821410889'), 'the hash of café');
  holds((await text('#ring [data-chain]')).includes('bucket 169'), 'the bucket of café');
});

await check('ring: a worker that joins moves 98 of 360 buckets; the ideal and hash mod N stand beside', async () => {
  await click('#ring [data-try=join]');
  const moved = await text('#ring [data-moved]');
  for (const part of ['worker-D joined', '98 of 360', '27.2 %', '25.0 %', '75.0 %']) holds(moved.includes(part), `${part} is not in ${moved}`);
  equal(await text('#ring [data-member=worker-D] td:nth-child(3)'), '98');
});

await check('ring: a killed worker is silent, then dead; a drained one leaves', async () => {
  await click('#ring [data-second=worker-B]');
  equal(await text('#ring [data-member=worker-B] td:nth-child(2)'), 'silent');
  holds(Number(await text('#ring [data-figure=unserved]')) > 0, 'its buckets are served by nobody');
  await stepUntil('ring', `document.querySelector('#ring [data-member=worker-B] td:nth-child(2)').textContent === 'dead'`, 5);
  equal(await text('#ring [data-figure=unserved]'), '0');
  await click('#ring [data-first=worker-A]');
  equal(await text('#ring [data-member=worker-A] td:nth-child(2)'), 'draining');
  await stepUntil('ring', `document.querySelector('#ring [data-member=worker-A] td:nth-child(2)').textContent === '–'`, 5);
});

await check('ring: a bucket can be chosen on the picture, also with the arrow keys', async () => {
  const place = await page(`(() => { const box = document.querySelector('#ring [data-ring]').getBoundingClientRect();
    return { clientX: box.left + box.width * 0.9, clientY: Math.ceil(box.top + box.height / 2) + 1 }; })()`);
  await page(`document.querySelector('#ring [data-ring]').dispatchEvent(new MouseEvent('click', ${quote(place)}))`);
  await frames();
  holds((await text('#ring [data-chain]')).includes('bucket 90'), 'a quarter of the way round is bucket 90');
  await page(`document.querySelector('#ring [data-ring]').focus()`);
  await browser.key('ArrowLeft');
  await frames();
  holds((await text('#ring [data-chain]')).includes('bucket 89'), 'the arrow to the left leads to bucket 89');
});

// --- 4: tuner -----------------------------------------------------------------------------------------------------------

await check('tuner: each example has its bottleneck', async () => {
  for (const [example, limit] of [['webhooks', 'handlers'], ['mails', 'arrivals'], ['events-single', 'round trips'], ['flood', 'server'], ['greedy', 'lease']]) {
    await click(`#tuner [data-try=${example}]`);
    equal(await page(`document.querySelector('#tuner .limit').dataset.bottleneck`), limit);
  }
});

await check('tuner: a slider answers to the keyboard, and the figures follow', async () => {
  await click('#tuner [data-try=webhooks]');
  const before = await text('#tuner [data-figure=throughput]');
  await page(`document.querySelector('#tuner [data-knob=workers]').focus()`);
  await browser.key('ArrowRight');
  await frames();
  holds(before !== await text('#tuner [data-figure=throughput]'), 'one worker more changes nothing');
});

// --- the page -----------------------------------------------------------------------------------------------------------

await check('keys step, play and pause the part in view', async () => {
  await open();
  await page(`document.activeElement.blur(); document.querySelector('#loop .panel').scrollIntoView()`);
  await frames();
  const calls = await count('#loop [data-log] li');
  await browser.key('.');
  await frames();
  equal(await count('#loop [data-log] li'), calls + 1);
  equal(await text('#crash [data-clock]'), '0:00.0');
  await browser.key('k');
  equal(await text('#loop [data-do=play]'), 'Pause');
  const clock = await text('#loop [data-clock]');
  await browser.until(`document.querySelector('#loop [data-clock]').textContent !== ${quote(clock)}`);
  await browser.key('k');
  equal(await text('#loop [data-do=play]'), 'Play');
});

await check('nothing but the chips and the lists of calls moves while it plays', async () => {
  await open(1280, { 'prefers-reduced-motion': 'no-preference' });
  await page(`window.shifts = []; new PerformanceObserver((list) => { for (const { sources, value } of list.getEntries()) {
    const nodes = sources.map(({ node }) => (node instanceof Element ? node : node?.parentElement)).filter((node) => node && !node.closest('.chips, .log'));
    if (nodes.length > 0) shifts.push(nodes.map((node) => node.outerHTML.slice(0, 80)).join(' ') + ' ' + value);
  } }).observe({ type: 'layout-shift' })`);
  for (const [part, clicks] of [['loop', ['batch', 'killer']], ['crash', ['by-id']], ['ring', ['deploy']]]) {
    await page(`document.querySelector('#${part} .panel').scrollIntoView({ behavior: 'instant' })`);
    await frames();
    await page(`shifts.length = 0`);
    for (const one of clicks) await click(`#${part} [data-try=${one}]`);
    await click(`#${part} [data-speed="8"]`);
    if (await text(`#${part} [data-do=play]`) === 'Play') await click(`#${part} [data-do=play]`);
    await browser.until(`document.querySelector('#${part} [data-clock]').textContent >= '0:24.0'`);
    equal(quote(await page('shifts')), '[]');
  }
});

await check('no width makes the page scroll sideways', async () => {
  for (const width of [320, 390, 768, 1024, 1280, 1920]) {
    await open(width, {}, width < 500);
    equal(await page('document.documentElement.scrollWidth'), width);
  }
});

await check('the button changes the colours', async () => {
  await open();
  const colour = () => page(`getComputedStyle(document.body).backgroundColor`);
  const light = await colour();
  await click('#theme', 2);
  holds(await colour() !== light, 'dark is light');
  await click('#theme');
  equal(await colour(), light);
});

await check('a picture of each part', async () => {
  mkdirSync(pictures, { recursive: true });
  for (const [device, width] of [['desktop', 1280], ['phone', 390]]) {
    for (const theme of ['light', 'dark']) {
      await open(width, { 'prefers-color-scheme': theme }, width < 500);
      await click('#loop [data-try=batch]');
      await click('#loop [data-do=step]', 25);
      await click('#crash [data-do=step]', 11);
      await click('#ring [data-try=join]');
      await click('#ring [data-try=deploy]');
      for (const part of kParts) await browser.picture(`#${part}`, join(pictures, `${part}-${device}-${theme}.png`));
    }
  }
});

await check('no complaint on the console', async () => equal(complaints.join('\n'), ''));

await check('nothing was asked for but the files of the page', async () => {
  const base = new URL('.', address).href;
  equal(requests.filter((url) => !url.startsWith(base) && url !== 'data:,').join('\n'), '');
  holds(requests.includes(`${base}ring.js`), 'not even those');
});

await browser.stop();
console.log(`pictures: ${pictures}`);
console.log(`passed ${passed} failed ${failed}`);
process.exit(failed === 0 ? 0 : 1);
