/** What a test does when it ends, the latest first: a daemon stops before its repository goes. */

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

/** What takes the place of a test for whatever is made outside of one, in a command: `end` undoes it all. */
export function makeScope() {
  const undos = [];
  return {
    after: (undo) => undos.push(undo),
    end: async () => {
      while (undos.length > 0) await undos.pop()();
    },
  };
}
