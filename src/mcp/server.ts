import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import type { Dayfill } from '../client/open.js';
import { addDecidingTools } from './deciding.js';
import { addLookingTools } from './looking.js';
import { DATA, Toolbox } from './tool.js';

const INSTRUCTIONS = `dayfill fills pipelines day by day. A day whose failure no rule covers waits for a decision. Begin with list_waiting, look closer with show_failure, try SQL with rehearse_fix, which changes nothing, and put it before a person with propose_fix. ${DATA}`;

/**
 * Serves the queue of waiting partitions by MCP on stdin and stdout, until stdin ends; calls under way are answered first.
 * @param options `allowDecisions`: without it the tools that decide are not there at all.
 */
export async function serveMcp(
  dayfill: Dayfill,
  { allowDecisions, version }: { allowDecisions: boolean; version: string },
): Promise<void> {
  const server = new McpServer({ name: 'dayfill', version }, { instructions: INSTRUCTIONS });
  const tools = new Toolbox(server, dayfill);
  addLookingTools(tools);
  if (allowDecisions) addDecidingTools(tools);
  const ended = Promise.race([once(process.stdin, 'end'), once(process.stdin, 'close')]);
  await server.connect(new StdioServerTransport());
  await ended;
  // What was read last has to become a call, and its answer a line, before the end.
  await setImmediate();
  await tools.settled();
  await setImmediate();
  await server.close();
}
