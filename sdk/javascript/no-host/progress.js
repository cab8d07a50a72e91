// Under Node there is no host: reports go to standard error.
export const report = (fraction, message, partial) => process.stderr.write(`progress ${fraction}: ${message ?? ''} ${partial ?? ''}\n`);
