/**
 * Stands in for `@aws-sdk/credential-provider-node` in the bundle: Lambda gives a function its credentials in environment
 * variables, so no configuration files, no single sign-on, no metadata service need to be tried.
 */
const read = () =>
  Promise.resolve({
    accessKeyId: process.env.AWS_ACCESS_KEY_ID,
    secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
    sessionToken: process.env.AWS_SESSION_TOKEN
  })

export const defaultProvider = () => read
