/** Clean-up at the end of a test, the latest first: a daemon stops before its repository is removed. */

const stacks = new WeakMap();

/** Has `undo` run, and waited for, when the test ends. */
export function atEnd(t, undo) {
  let stack = stacks.get(t);
  if (stack === undefined) {
    stack = [];
    stacks.set(t, stack);
    t.after(async () => {
      while (stack.length > 0) await stack.pop()();
    });
  }
  stack.push(undo);
}

/** Takes the place of a test in a command: `end` runs the clean-up. */
export function makeScope() {
  const undos = [];
  return {
    after: (undo) => undos.push(undo),
    end: async () => {
      while (undos.length > 0) await undos.pop()();
    },
  };
}
