// Under Node there is no host: lines go to standard error.
export const write = (level, message) => process.stderr.write(`${level} ${message}\n`);
