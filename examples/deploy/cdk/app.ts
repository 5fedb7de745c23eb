/** The CDK app: `npx cdk deploy` in this folder. */
import { App } from "aws-cdk-lib"
import * as path from "node:path"
import { bundle } from "../bundle.ts"
import { OrderStack } from "./OrderStack.ts"

const app = new App()
new OrderStack(app, "Orders", { code: path.dirname(await bundle()) })
app.synth()
