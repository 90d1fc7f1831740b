/** The options of the TypeScript compiler that a strict project for Node has today. */
export const STRICT = {
  target: 'es2022',
  module: 'nodenext',
  moduleDetection: 'force',
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
};
