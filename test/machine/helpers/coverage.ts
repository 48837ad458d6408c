/**
 * Counts what compiled code really executes, so that a test of the compiler is known to test it.
 * Invariant: watching changes nothing; instructions that the interpreter executes on behalf of compiled code are not
 * counted.
 */
import type { Compiler } from '../../../src/machine/compiler/compiler.ts';
import type { Cpu } from '../../../src/machine/cpu.ts';

export class Coverage {
  /** How often compiled code was entered from the interpreter. */
  entries = 0;
  /** Instructions that compiled code retired itself. */
  instructions = 0;
  /** Instructions that it handed to the interpreter, retired or not. */
  handedBack = 0;

  constructor(cpu: Cpu) {
    const compiler: Compiler = cpu.codeCache.compiler!;
    const run = compiler.run.bind(compiler);
    const executePlain = cpu.executePlain.bind(cpu);
    let interpreted = 0;
    compiler.run = (runner, entry) => {
      const before = runner.count;
      interpreted = 0;
      const entered = run(runner, entry);
      if (entered && runner === cpu) {
        this.entries++;
        this.instructions += runner.count - before - interpreted;
      }
      return entered;
    };
    cpu.executePlain = (insn) => {
      const before = cpu.count;
      executePlain(insn);
      interpreted += cpu.count - before;
      this.handedBack++;
    };
  }
}
