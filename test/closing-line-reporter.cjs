/** Prints the one line that continuous integration reads last: `N passed, N failed`. */
module.exports = class ClosingLineReporter {
  onRunComplete(_contexts, results) {
    const crashedSuites = results.testResults.filter((suite) => suite.testExecError).length;
    process.stdout.write(`\n${results.numPassedTests} passed, ${results.numFailedTests + crashedSuites} failed\n`);
  }
};
