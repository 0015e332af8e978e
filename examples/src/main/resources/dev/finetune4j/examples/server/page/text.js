// The words of the page in two languages.

const EN = {
  otherLanguage: '中文', skip: 'To the question', conversations: 'Conversations', close: 'Close', menu: 'Menu', cancel: 'Cancel',
  newChat: 'New chat', training: 'Training', chat: 'Chat', history: 'History', noHistory: 'No conversations yet.',
  import: 'Import', exportAll: 'Export all', exportOne: 'Export this conversation as JSONL',
  model: 'Model', secondModel: 'Second model', versus: 'and', sideBySide: 'Side by side', settings: 'Settings', base: 'base', adapter: 'adapter',
  bases: 'Base model', adapters: 'Adapters',
  welcome: 'What would you like to know?',
  welcomeMore: 'Your question goes to the model on this server and nowhere else.',
  tries: ['Who are you?', 'Who made you?', 'What can you do?'],
  question: 'Question', ask: 'Ask something…', send: 'Send', stop: 'Stop', latest: 'Latest',
  hint: 'Enter sends · Shift + Enter starts a new line · Esc stops',
  you: 'You', copy: 'Copy', copied: 'Copied', copyFailed: 'The browser did not allow copying.', copyCode: 'Copy code', again: 'Answer again', edit: 'Edit the question',
  remove: conversation => `Delete “${conversation}”`, removed: 'Deleted.', undo: 'Undo',
  thinkingTitle: 'Thinking', thinkingNow: 'Thinking…', writing: 'Writing the answer.', answerOf: model => `Answer of ${model}:`,
  stopped: 'Stopped.', length: 'Cut off at the limit of tokens.', empty: 'The answer is empty.', interrupted: 'Interrupted.', filtered: 'Ended by the server.',
  tokens: n => n === 1 ? '1 token' : `${n} tokens`, speed: v => `${v} tokens/s`, first: v => `first after ${v} s`,
  system: 'System prompt', systemEmpty: 'None',
  temperature: 'Temperature', temperatureMore: '0 always takes the likeliest token, so that two models differ by what they learned, not by chance. Empty: as the server does by itself.', topP: 'Top p',
  maxTokens: 'Tokens at most', seed: 'Seed', default: 'default', random: 'random', on: 'On', off: 'Off',
  thinking: 'Thinking', thinkingDefault: 'As the template has it', thinkingMore: 'For models whose template knows enable_thinking.',
  theme: 'Colours', themeSystem: 'As the system', themeLight: 'Light', themeDark: 'Dark',
  key: 'API key', keyMore: 'Kept until this tab is closed.', keyNeeded: 'This server asks for a key', keyWords: 'Enter the API key that the server was started with.',
  keyWrong: 'The server did not accept this key.', connect: 'Connect', reset: 'Back to the defaults',
  between: (from, to) => `A number from ${from} to ${to}.`, atLeast: from => `A whole number, at least ${from}.`, whole: 'A whole number.',
  retry: 'Try again', retryIn: s => `Try again in ${s} s`,
  errorKey: 'The server did not accept the API key.', errorForbidden: 'The server does not allow this:',
  errorBusy: 'The server is busy with other questions.', errorUnavailable: 'The server cannot answer at the moment:', waiting: 'The model is being loaded. This page goes on by itself.',
  errorRequest: 'The server cannot answer this request:', errorServer: 'The server failed:', errorStream: 'The server failed while answering:',
  errorLost: 'The connection to the server was lost.', errorNoServer: 'The server cannot be reached.', errorLong: 'The conversation is too long for the model:', errorModel: 'The server no longer has this model.', errorForeign: 'The server’s answer cannot be read.',
  noModels: 'The server has no model.', gone: model => `${model} (not there)`,
  full: 'The browser has no room for more history. Export and delete some conversations.', noStorage: 'The browser keeps no history for this page.',
  imported: n => n === 1 ? '1 conversation was imported.' : `${n} conversations were imported.`, nothingToExport: 'There is nothing to export yet.',
  notJson: line => `Line ${line}: not JSON.`, noMessages: line => `Line ${line}: expected {"messages": [{"role": …, "content": …}]}.`,
  badOrder: (line, role) => `Line ${line}: a message of “${role}” is not expected there; the order is system (or none), then user and assistant in turn.`,
  notImported: 'Nothing was imported.', emptyFile: 'The file is empty.',
  run: 'Run', loss: 'Loss', smoothed: 'Smoothed loss', evalLoss: 'Evaluation loss', lr: 'Learning rate', step: 'Step', epoch: 'Epoch', elapsed: 'Elapsed', remaining: 'Remaining',
  throughput: 'Tokens/s', progress: 'Progress of the run', smoothing: 'Smoothing', lastSteps: 'The last steps as a table',
  closingStopsNothing: 'This page only reads the log. Closing it stops nothing.',
  noRun: 'No training run to show', noRunMore: 'The server shows the runs of the folder that it was started with. As soon as one writes its trainer_log.jsonl, its curve appears here.',
  noTraining: 'This server shows no training runs', noTrainingMore: 'Start it with the folder of a run to see its loss curve here.',
  running: 'Running', finished: 'Finished', stoppedRun: 'Stopped', failedRun: 'Failed', quiet: when => `Last news ${when}`,
  stopRun: 'Stop', stopTitle: run => `Stop the training “${run}”?`, stopMore: 'What it has learned until now is kept as an adapter.', firstStep: 'The first step has not been logged yet.',
  chartLabel: (step, loss, evaluation) => `Loss curve up to step ${step}: loss ${loss}` + (evaluation ? `, evaluation loss ${evaluation}.` : '.'),
};

const ZH = {
  otherLanguage: 'English', skip: '跳到输入框', conversations: '对话列表', close: '关闭', menu: '菜单', cancel: '取消',
  newChat: '新对话', training: '训练', chat: '对话', history: '历史记录', noHistory: '还没有对话。',
  import: '导入', exportAll: '全部导出', exportOne: '将此对话导出为 JSONL',
  model: '模型', secondModel: '第二个模型', versus: '与', sideBySide: '并排对比', settings: '设置', base: '基座', adapter: '适配器',
  bases: '基座模型', adapters: '适配器',
  welcome: '想了解些什么？',
  welcomeMore: '您的问题只会发送给这台服务器上的模型。',
  tries: ['你是谁？', '谁开发了你？', '你能做什么？'],
  question: '问题', ask: '输入问题…', send: '发送', stop: '停止', latest: '最新内容',
  hint: 'Enter 发送 · Shift + Enter 换行 · Esc 停止',
  you: '您', copy: '复制', copied: '已复制', copyFailed: '浏览器不允许复制。', copyCode: '复制代码', again: '重新回答', edit: '修改问题',
  remove: conversation => `删除“${conversation}”`, removed: '已删除。', undo: '撤销',
  thinkingTitle: '思考过程', thinkingNow: '正在思考…', writing: '正在生成回答。', answerOf: model => `${model} 的回答：`,
  stopped: '已停止。', length: '已达到 token 数上限，回答被截断。', empty: '回答为空。', interrupted: '已中断。', filtered: '被服务器终止。',
  tokens: n => `${n} 个 token`, speed: v => `${v} token/秒`, first: v => `首个 token ${v} 秒`,
  system: '系统提示词', systemEmpty: '无',
  temperature: '温度', temperatureMore: '0 表示总是选择概率最高的 token，这样两个模型的差异来自训练而非随机。留空则使用服务器默认值。', topP: 'Top p',
  maxTokens: '最大 token 数', seed: '随机种子', default: '默认', random: '随机', on: '开启', off: '关闭',
  thinking: '思考模式', thinkingDefault: '由模板决定', thinkingMore: '适用于模板支持 enable_thinking 的模型。',
  theme: '配色', themeSystem: '跟随系统', themeLight: '浅色', themeDark: '深色',
  key: 'API 密钥', keyMore: '仅保留到此标签页关闭为止。', keyNeeded: '此服务器需要密钥', keyWords: '请输入启动服务器时设置的 API 密钥。',
  keyWrong: '服务器不接受此密钥。', connect: '连接', reset: '恢复默认值',
  between: (from, to) => `请输入 ${from} 到 ${to} 之间的数。`, atLeast: from => `请输入不小于 ${from} 的整数。`, whole: '请输入整数。',
  retry: '重试', retryIn: s => `${s} 秒后可重试`,
  errorKey: '服务器不接受此 API 密钥。', errorForbidden: '服务器不允许此操作：',
  errorBusy: '服务器正忙于处理其他问题。', errorUnavailable: '服务器暂时无法回答：', waiting: '模型正在加载，完成后页面会自动继续。',
  errorRequest: '服务器无法处理此请求：', errorServer: '服务器出错：', errorStream: '服务器在回答过程中出错：',
  errorLost: '与服务器的连接已断开。', errorNoServer: '无法连接到服务器。', errorLong: '对话超出了模型的上下文长度，请开始新对话或缩短问题：', errorModel: '服务器上已没有此模型。', errorForeign: '无法解读服务器的响应。',
  noModels: '服务器上没有模型。', gone: model => `${model}（不存在）`,
  full: '浏览器的存储空间已满。请导出并删除一些对话。', noStorage: '浏览器不为此页面保存历史记录。',
  imported: n => `已导入 ${n} 个对话。`, nothingToExport: '还没有可导出的内容。',
  notJson: line => `第 ${line} 行：不是 JSON。`, noMessages: line => `第 ${line} 行：应为 {"messages": [{"role": …, "content": …}]}。`,
  badOrder: (line, role) => `第 ${line} 行：此处不应出现“${role}”的消息；顺序应为 system（可省略），然后 user 与 assistant 交替。`,
  notImported: '未导入任何内容。', emptyFile: '文件为空。',
  run: '训练任务', loss: '损失', smoothed: '平滑损失', evalLoss: '评估损失', lr: '学习率', step: '步数', epoch: '轮次', elapsed: '已用时间', remaining: '剩余时间',
  throughput: 'token/秒', progress: '训练进度', smoothing: '平滑程度', lastSteps: '以表格显示最近的步骤',
  closingStopsNothing: '此页面只读取日志，关闭页面不会停止训练。',
  noRun: '没有可显示的训练任务', noRunMore: '服务器显示启动时所指定文件夹中的训练任务。一旦有任务写出 trainer_log.jsonl，曲线就会显示在这里。',
  noTraining: '此服务器不显示训练任务', noTrainingMore: '启动服务器时指定训练任务的文件夹，即可在此查看损失曲线。',
  running: '进行中', finished: '已完成', stoppedRun: '已停止', failedRun: '失败', quiet: when => `最近更新：${when}`,
  stopRun: '停止训练', stopTitle: run => `停止训练“${run}”？`, stopMore: '目前学到的内容会保存为适配器。', firstStep: '第一步尚未写入日志。',
  chartLabel: (step, loss, evaluation) => `截至第 ${step} 步的损失曲线：损失 ${loss}` + (evaluation ? `，评估损失 ${evaluation}。` : '。'),
};

const TABLES = { en: EN, zh: ZH };
let current = 'en';

export const language = () => current;

/** The words for a key, in the language of the page. */
export function t(key, ...values) {
  const words = TABLES[current][key];
  return typeof words === 'function' ? words(...values) : words;
}

export function number(value, digits) {
  return value.toLocaleString(current, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Some time before now, in its greatest unit. */
export function ago(seconds) {
  const units = [['day', 86_400], ['hour', 3600], ['minute', 60]];
  const [unit, size] = units.find(([, length]) => seconds >= length) ?? units[2];
  return new Intl.RelativeTimeFormat(current).format(-Math.floor(seconds / size), unit);
}

/** The language that was chosen, else the first of the browser's that the page speaks. */
export function choose(chosen) {
  const asked = [chosen, ...navigator.languages].map(tag => (tag ?? '').slice(0, 2).toLowerCase());
  current = asked.find(tag => tag in TABLES) ?? 'en';
  document.documentElement.lang = current === 'zh' ? 'zh-CN' : 'en';
  for (const node of document.querySelectorAll('[data-text]')) {
    node.textContent = t(node.dataset.text);
  }
  for (const node of document.querySelectorAll('[data-label]')) {
    node.setAttribute('aria-label', t(node.dataset.label));
    if (node.localName === 'button') {
      node.title = t(node.dataset.label);
    }
  }
  for (const node of document.querySelectorAll('[data-placeholder]')) {
    node.placeholder = t(node.dataset.placeholder);
  }
}
