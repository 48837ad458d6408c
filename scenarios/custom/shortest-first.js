/**
 * A scheduler of your own, as an example: who has run least since it last woke up goes first, so short bursts of work
 * overtake long ones. No weights, no caps. The interface is explained in src/host/scheduler.ts, the steps in
 * docs/how-to-add.md; with TypeScript or an editor the next line gives types.
 * @type {import('hvsim').PolicyDescription}
 */
export default {
  name: 'shortest-first',
  summary: 'who has run least since its last wake-up goes first',
  params: {
    slice_us: { kind: 'integer', min: 100, max: 1_000_000, default: 5_000, meaning: 'longest run without a new choice' },
  },
  make(host, { slice_us }) {
    const ready = [];
    const burst = []; // by task id: time it has run since it woke up
    const best = (pcpu) =>
      ready
        .filter((task) => task.hard.has(pcpu))
        .reduce((a, b) => (a === null || burst[b.id] < burst[a.id] ? b : a), null);
    return {
      wake(task, _now, reason) {
        if (reason !== 'release') burst[task.id] = 0;
        ready.push(task);
        const allowed = [...task.hard];
        const idle = allowed.filter((id) => host.current(id) === null);
        for (const id of idle) host.resched(id);
        if (idle.length > 0) return;
        // Nobody idles: whoever has run longest makes room, if it has run longer.
        for (const id of allowed) host.settle(id);
        const age = (id) => burst[host.current(id).id];
        const longest = allowed.reduce((a, b) => (age(b) > age(a) ? b : a));
        if (age(longest) > burst[task.id]) host.resched(longest);
      },
      sleep(task) {
        const at = ready.indexOf(task);
        if (at >= 0) ready.splice(at, 1);
      },
      charge(task, ran) {
        burst[task.id] += ran;
      },
      pick(pcpu, _now, current) {
        if (current !== null) ready.push(current);
        const task = best(pcpu);
        if (task !== null) ready.splice(ready.indexOf(task), 1);
        return { task, slice: slice_us * 1000 };
      },
    };
  },
};
