// Made by scripts/simulator-figures from the table "Results" of bench/README.md; do not edit.
// [jobs a call, microseconds of server processor time a job] or [jobs a call, bytes a job]; wakeUp in microseconds.
(function (figures) {
  'use strict';
  figures.measured = {
    claimAndComplete: {async: [[1, 42.03], [10, 6.6], [100, 2.25]], flushed: [[1, 102.6], [10, 12.36], [100, 2.95]]},
    textbook: {async: [[1, 153.79], [10, 37.64], [100, 18.55]], flushed: [[1, 271.33], [10, 46.37], [100, 20.48]]},
    enqueue: {async: [[1, 23.22], [100, 3.61]], flushed: [[1, 67.64], [100, 3.86]]},
    walClaimAndComplete: [[1, 120.4], [10, 15.24], [100, 3.37]],
    walEnqueue: [[1, 241], [100, 155]],
    wakeUp: 174,
  };
})(typeof module === 'object' ? module.exports : (globalThis.durableFigures = {}));
