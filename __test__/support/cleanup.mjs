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
