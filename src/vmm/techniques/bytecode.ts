/**
 * Virtualization of a programming environment: programs compiled to a bytecode for a stack machine (guests/bytecode), run
 * by a virtual machine that the emulated CPU executes (guests/interpreters/bcvm.c): interpreted, or translated to native
 * code when the program starts, which the CPU then executes. Addresses are checked either way.
 */
import { interpreted } from './interpreted.ts';

export const bytecode = interpreted(
  'bytecode',
  'a bytecode for a stack machine, interpreted by a virtual machine that runs on the machine',
  {
    kind: 'bytecode',
    runtime: 'bcvm',
    text: '',
  },
);

export const bytecodeTranslated = interpreted(
  'bytecode-translated',
  'the same bytecode, translated to native code before it runs',
  { kind: 'bytecode', runtime: 'bcvm', text: 'translate' },
  true,
);
