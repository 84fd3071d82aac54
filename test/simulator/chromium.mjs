// A headless Chromium over its debugging pipe: messages are JSON, each ends with a zero byte. Nothing but Node.js needed.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const kPatience = 30_000;

export class Chromium {
  static async start(profile, program = process.env.CHROMIUM || 'chromium') {
    const browser = new Chromium();
    // No sandbox: it needs rights that a container or another user's session may lack, and the page is our own file.
    browser.process = spawn(program, ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
      '--no-first-run', '--no-default-browser-check', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] });
    browser.errors = '';
    browser.process.stderr.on('data', (text) => { browser.errors = (browser.errors + text).slice(-4000); });
    browser.waiting = new Map();
    browser.listeners = new Map();
    browser.sent = 0;
    browser.ended = new Promise((resolve) => browser.process.on('exit', resolve));
    browser.process.on('exit', () => browser.failAll(new Error(`the browser ended:\n${browser.errors}`)));
    browser.process.on('error', (error) => browser.failAll(error));
    browser.process.stdio[3].on('error', () => {});
    browser.read(browser.process.stdio[4]);
    const { targetInfos } = await browser.send('Target.getTargets', {}, null);
    const page = targetInfos.find((target) => target.type === 'page');
    const { sessionId } = await browser.send('Target.attachToTarget', { targetId: page.targetId, flatten: true }, null);
    browser.session = sessionId;
    return browser;
  }

  read(stream) {
    let rest = Buffer.alloc(0);
    stream.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
        this.receive(JSON.parse(rest.subarray(0, end).toString('utf8')));
        rest = rest.subarray(end + 1);
      }
    });
  }

  receive(message) {
    if (message.id === undefined) {
      for (const listener of this.listeners.get(message.method) ?? []) listener(message.params);
      return;
    }
    const { resolve, reject, timer } = this.waiting.get(message.id);
    clearTimeout(timer);
    this.waiting.delete(message.id);
    if (message.error) reject(new Error(message.error.message));
    else resolve(message.result);
  }

  failAll(error) {
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.waiting.clear();
  }

  send(method, params = {}, sessionId = this.session) {
    const id = ++this.sent;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${method}`)), kPatience);
      this.waiting.set(id, { resolve, reject, timer });
      this.process.stdio[3].write(JSON.stringify({ id, method, params, ...(sessionId ? { sessionId } : {}) }) + '\0');
    });
  }

  on(method, listener) {
    this.listeners.set(method, [...(this.listeners.get(method) ?? []), listener]);
  }

  // Opens an address and waits until it is loaded.
  async open(address) {
    const loaded = new Promise((resolve) => this.on('Page.loadEventFired', resolve));
    await this.send('Page.navigate', { url: address });
    await loaded;
  }

  // The value of an expression in the page; an exception there is one here.
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  // Waits for the next frames until the expression is true.
  async until(expression) {
    const deadline = Date.now() + kPatience;
    while (!(await this.evaluate(expression))) {
      if (Date.now() > deadline) throw new Error(`never true: ${expression}`);
      await this.evaluate('new Promise((done) => requestAnimationFrame(() => done()))');
    }
  }

  async size(width, height, mobile = false) {
    await this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: mobile ? 2 : 1, mobile });
  }

  async media(features) {
    await this.send('Emulation.setEmulatedMedia', { features: Object.entries(features).map(([name, value]) => ({ name, value })) });
  }

  async key(key) {
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', key, text: key.length === 1 ? key : undefined });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', key });
  }

  // A picture of one element, with a margin.
  async picture(selector, file) {
    const clip = await this.evaluate(`(() => {
      const box = document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect();
      return { x: 0, y: Math.max(0, box.top + scrollY - 12), width: document.documentElement.clientWidth, height: box.height + 24, scale: 1 };
    })()`);
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip });
    writeFileSync(file, Buffer.from(data, 'base64'));
  }

  async stop() {
    this.send('Browser.close', {}, null).catch(() => {});
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 5000);
    await this.ended;
    clearTimeout(timer);
  }
}
