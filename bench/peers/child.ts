/**
 * Runs one program as a child process and measures it: wall and CPU seconds, when certain texts came, peak memory.
 * Invariant: CPU seconds are those of the child and its threads, user and system, as getrusage counts them: a shell
 *            stands between and reports them, because Node does not say what its children used. Where there is no bash,
 *            they are NaN.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Runs "$@" and reports its number and then its times on file descriptor 3; on SIGTERM it kills the program first. */
const SCRIPT = `"$@" & pid=$!
echo "pid $pid" >&3
trap 'kill -KILL $pid' TERM
wait $pid; status=$?
wait $pid 2>/dev/null
times >&3
exit $status`;

const haveBash = spawnSync('bash', ['-c', 'exit 0']).status === 0;

export interface ChildOptions {
  readonly cwd?: string;
  readonly timeoutSeconds: number;
  /** Texts on stdout, in this order, whose time is taken. */
  readonly markers?: readonly string[];
  /** The child is killed after its last marker, and its memory is looked up first. */
  readonly stopAtLastMarker?: boolean;
  /** No shell in between: start-up is measured exactly, CPU seconds are not known. */
  readonly direct?: boolean;
}

export interface ChildResult {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** From the start of the process; NaN for what never came. */
  readonly markerSeconds: readonly number[];
  /** CPU seconds used when each marker came (Linux only). */
  readonly markerCpuSeconds: readonly number[];
  readonly stdout: string;
  readonly stderr: string;
  /** Null when it was killed. */
  readonly status: number | null;
  readonly timedOut: boolean;
  /** Peak resident memory when the last marker came (Linux only). */
  readonly peakBytes: number;
}

/** Starts the program and answers when it has ended. */
export function runChild(command: readonly string[], options: ChildOptions): Promise<ChildResult> {
  return new Promise((resolve, reject) => {
    new Run(command, options, resolve, reject);
  });
}

class Run {
  private readonly options: ChildOptions;
  private readonly child: ChildProcess;
  private readonly resolve: (result: ChildResult) => void;
  private readonly timer: NodeJS.Timeout;
  private readonly started = process.hrtime.bigint();
  private readonly markerSeconds: number[] = [];
  private readonly markerCpuSeconds: number[] = [];
  private readonly markers: readonly string[];
  private readonly shell: boolean;
  private searchFrom = 0;
  private stdout = '';
  private stderr = '';
  private control = '';
  private timedOut = false;
  private peakBytes = Number.NaN;

  constructor(
    command: readonly string[],
    options: ChildOptions,
    resolve: (result: ChildResult) => void,
    reject: (error: Error) => void,
  ) {
    this.options = options;
    this.resolve = resolve;
    this.markers = options.markers ?? [];
    this.shell = haveBash && options.direct !== true;
    const [program, ...args] = this.shell ? ['bash', '-c', SCRIPT, 'bash', ...command] : command;
    const cwd = options.cwd === undefined ? {} : { cwd: options.cwd };
    this.child = spawn(program, args, { ...cwd, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    this.child.stdout!.setEncoding('latin1').on('data', (text: string) => this.onOutput(text));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.child.stdio[3]!.on('data', (bytes: Buffer) => {
      this.control += bytes.toString('latin1');
    });
    this.timer = setTimeout(() => {
      this.timedOut = true;
      this.stop();
    }, options.timeoutSeconds * 1000);
    this.child.on('error', (error) => {
      clearTimeout(this.timer);
      reject(error);
    });
    this.child.on('close', (status) => this.onClose(status));
  }

  private seconds(): number {
    return Number(process.hrtime.bigint() - this.started) / 1e9;
  }

  private onOutput(text: string): void {
    this.stdout += text;
    while (this.markerSeconds.length < this.markers.length) {
      const marker = this.markers[this.markerSeconds.length];
      const at = this.stdout.indexOf(marker, this.searchFrom);
      if (at < 0) return;
      this.searchFrom = at + marker.length;
      this.markerSeconds.push(this.seconds());
      this.markerCpuSeconds.push(cpuSecondsNow(this.pid()));
      if (this.markerSeconds.length === this.markers.length) this.onLastMarker();
    }
  }

  private onLastMarker(): void {
    this.peakBytes = peakBytesOf(this.pid());
    if (this.options.stopAtLastMarker === true) this.stop();
  }

  private pid(): number {
    return this.shell ? Number(/^pid (\d+)/.exec(this.control)?.[1] ?? Number.NaN) : (this.child.pid ?? Number.NaN);
  }

  private stop(): void {
    this.child.kill(this.shell ? 'SIGTERM' : 'SIGKILL');
  }

  private onClose(status: number | null): void {
    clearTimeout(this.timer);
    this.resolve({
      wallSeconds: this.seconds(),
      cpuSeconds: cpuSecondsOf(this.control),
      markerSeconds: this.markers.map((_, i) => this.markerSeconds[i] ?? Number.NaN),
      markerCpuSeconds: this.markers.map((_, i) => this.markerCpuSeconds[i] ?? Number.NaN),
      stdout: this.stdout,
      stderr: this.stderr,
      status,
      timedOut: this.timedOut,
      peakBytes: this.peakBytes,
    });
  }
}

/** The second line of the shell's `times`: user and system time of its children. */
function cpuSecondsOf(control: string): number {
  const times = [...control.matchAll(/(\d+)m([\d.,]+)s/g)].map(
    ([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds.replace(',', '.')),
  );
  return times.length === 4 ? times[2] + times[3] : Number.NaN;
}

/** Of all threads that a running process has. */
function cpuSecondsNow(pid: number): number {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    const spent = tasks.map((task) =>
      Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]),
    );
    return spent.reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1e9;
  } catch {
    return Number.NaN; // it has just ended, or this is not Linux
  }
}

function peakBytesOf(pid: number): number {
  try {
    const kib = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return Number(kib ?? Number.NaN) * 1024;
  } catch {
    return Number.NaN;
  }
}
