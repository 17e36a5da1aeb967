import { EXIT } from './exit-code.ts';
import { main } from './program.ts';

const interrupt = new AbortController();
let isPaging = false;
process.on('SIGINT', () => {
  // The pager has the terminal, and Ctrl-C is one of its keys.
  if (isPaging) return;
  // Asked twice: whatever is still being tidied up has to wait for the next run.
  if (interrupt.signal.aborted) {
    // The prompt of the shell is not to stand behind what was being drawn.
    if (process.stderr.isTTY) process.stderr.write('\n');
    process.exit(EXIT.interrupted);
  }
  interrupt.abort();
});

// A failed write is told by its callback; without a listener the stream's event would end the process.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const { stdin, stdout, stderr, env } = process;
process.exitCode = await main(process.argv.slice(2), {
  stdin,
  stdout,
  stderr,
  env,
  signal: interrupt.signal,
  page: async (text) => {
    isPaging = true;
    try {
      const { showByPager } = await import('./pager.ts');
      return await showByPager(text, env);
    } finally {
      isPaging = false;
    }
  },
});
// A host that does not answer must not keep an interrupted command alive.
if (interrupt.signal.aborted) process.exit();
