// An executor that greets people by name.
import * as apflow from 'apflow-plugin';

export const executor = apflow.executor({
  id: '{{ident}}',
  description: 'Greets people by name.',
  idempotent: true,
  examples: [{ names: ['Ada'] }],
  // The host checks every call against this schema.
  inputSchema: {
    type: 'object',
    properties: {
      names: { type: 'array', items: { type: 'string' }, description: 'Whom to greet.' },
      greeting: { type: 'string', default: 'Hello', description: 'How to greet.' },
    },
    required: ['names'],
  },
  outputSchema: {
    type: 'object',
    properties: { greetings: { type: 'array', items: { type: 'string' } } },
    required: ['greetings'],
  },
  execute({ names, greeting = 'Hello' }, context) {
    const greetings = names.map((name, at) => {
      if (name === '') {
        throw apflow.Failure.badInput('empty_name', `names/${at} is empty; say whom to greet`, `/names/${at}`);
      }
      context.progress((at + 1) / names.length, `greeted ${name}`);
      return `${greeting}, ${name}!`;
    });
    apflow.log.info(`greeted ${greetings.length} people for ${context.taskId}`);
    return { greetings };
  },
});
