/** A model or analysis of a dbt project, as its manifest has it. */
interface Node {
  name: string;
  resource_type: string;
  /** Below models/ or analyses/. */
  path: string;
  relation_name?: string | null | undefined;
  compiled_code?: string | null | undefined;
  columns: Record<string, unknown>;
  depends_on: { nodes: string[] };
  config: {
    unique_key?: string | string[] | null | undefined;
    materialized?: string | null | undefined;
    meta: { realtime_delete?: string | undefined };
  };
  schema: string;
}

/** What is needed of a dbt manifest. */
export interface RealtimeProject {
  nodes: Record<string, Node>;
}

/** The sources whose raw model the project builds, in order: models/<source>/raw/<model>.sql. */
export function sourcesOf(project: RealtimeProject): string[] {
  const folders = modelNodes(project).map(([, { path }]) => /^([^/]+)\/raw\//.exec(path)?.[1]);
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort();
}

/** The models that one event of a source changes: its raw model and all incremental ones that follow from it. */
function modelsOf(project: RealtimeProject, source: string): Node[] {
  const found = new Set(
    modelNodes(project).flatMap(([id, { path }]) => (path.startsWith(`${source}/raw/`) ? [id] : [])),
  );
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const [id, { config, depends_on }] of modelNodes(project)) {
      if (config.materialized === 'incremental' && depends_on.nodes.some((other) => found.has(other))) found.add(id);
    }
  }
  return [...found].map((id) => project.nodes[id]!);
}

/**
 * One BigQuery script that takes the event `@event_id` of a source through all layers, wholly or not at all. Each model's new
 * rows stand in a temporary table `new_<model>`, from which the next models are worked out, and take the place of its old ones.
 * @param project compiled with var `realtime_event_id`
 */
export function realtimeScript(project: RealtimeProject, source: string): string {
  const models = modelsOf(project, source);
  const ordered = inOrder(project, models);
  const raw = ordered.find(({ path }) => path.startsWith(`${source}/raw/`));
  const others = ordered.filter((node) => node !== raw);
  const script = `${newRows(raw!)}
if not exists (select 1 from new_${raw!.name}) then
  raise using message = 'dayfill:unknown_event';
end if;
begin
  begin transaction;
${[replaceRows(raw!), ...others.map((node) => statements(node))].join('\n')}
  commit transaction;
exception when error then
  rollback transaction;
  raise using message = @@error.message;
end;
`;
  return withoutOthers(script, project, models);
}

/** Whatever does not follow from the source has no new rows: an empty subquery stands in the place of its temporary table. */
function withoutOthers(script: string, project: RealtimeProject, models: Node[]): string {
  const empty = new Map<string, string>();
  for (const [, { name, relation_name }] of modelNodes(project)) {
    if (models.some((model) => model.name === name)) continue;
    empty.set(`new_${name}`, `(select * from ${relation_name} where false)`);
    // Written by the script that resolves the identifiers of an entity.
    const [, entity] = /^resolved_(\w+)_identifiers$/.exec(name) ?? [];
    const merges = modelNodes(project).find(([, node]) => node.name === 'entity_merges')?.[1].relation_name;
    if (entity !== undefined) empty.set(`new_${entity}_merges`, `(select * from ${merges} where false)`);
  }
  return script.replaceAll(/\bnew_\w+/g, (name) => empty.get(name) ?? name);
}

function modelNodes({ nodes }: RealtimeProject): [string, Node][] {
  return Object.entries(nodes).filter(([, { resource_type }]) => resource_type === 'model');
}

/** The models, and what the analyses prepare for them, each after all that it reads. */
function inOrder(project: RealtimeProject, models: Node[]): Node[] {
  const analyses = Object.values(project.nodes).filter(
    ({ resource_type, name }) =>
      resource_type === 'analysis' && (name.startsWith('changed_') || models.some((model) => name === scriptOf(model))),
  );
  const pending = [...models, ...analyses].sort((a, b) => a.path.localeCompare(b.path));
  const ordered: Node[] = [];
  while (pending.length > 0) {
    const next = pending.findIndex((node) => !pending.some((other) => other !== node && reads(project, node, other)));
    if (next === -1)
      throw new Error(`These models wait for each other: ${pending.map(({ name }) => name).join(', ')}.`);
    ordered.push(...pending.splice(next, 1));
  }
  return ordered;
}

function reads(project: RealtimeProject, node: Node, other: Node): boolean {
  if (other.resource_type === 'analysis') {
    return other.name === scriptOf(node) || sqlOf(node).includes(other.name);
  }
  // The script of a model reads what the model held before.
  if (node.name === scriptOf(other)) return false;
  return node.depends_on.nodes.some((id) => project.nodes[id] === other);
}

/** The analysis that has to run before a model. */
function scriptOf({ name }: Node): string {
  return name.replace(/^resolved_/, 'resolve_');
}

function sqlOf({ compiled_code, config }: Node): string {
  return `${compiled_code} ${config.meta.realtime_delete ?? ''}`;
}

function statements(node: Node): string {
  if (node.resource_type === 'model') return `${newRows(node)}\n${replaceRows(node)}`;
  if (node.name.startsWith('changed_')) return `create or replace temp table ${node.name} as\n${node.compiled_code};`;
  return `begin\n${node.compiled_code}\nend;`;
}

function newRows({ name, compiled_code }: Node): string {
  return `create or replace temp table new_${name} as\n${compiled_code};`;
}

function replaceRows({ name, relation_name, columns, config }: Node): string {
  const names = Object.keys(columns)
    .map((column) => `\`${column}\``)
    .join(', ');
  const keys = [config.unique_key ?? []].flat();
  const same = keys.map((key) => `fresh.${key} = known.${key}`).join(' and ');
  const old = config.meta.realtime_delete ?? `exists (select 1 from new_${name} as fresh where ${same})`;
  return `delete from ${relation_name} as known where ${old};
insert into ${relation_name} (${names}) select ${names} from new_${name};`;
}
