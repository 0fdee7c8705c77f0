// 中文。

export const zh = {
  ok: "确定", cancel: "取消", close: "关闭", copy: "复制", copied: "已复制", done: "已完成。", all: "查看全部", menu: "菜单", places: "导航",
  more: "再显示 {n} 条（还剩 {left} 条）",

  "place.overview": "总览", "place.topology": "拓扑", "place.models": "模型", "place.alerts": "告警", "place.traces": "链路", "place.feedback": "反馈", "place.logs": "日志",

  "theme.dark": "深色", "theme.light": "浅色",
  "token.title": "平台令牌", "token.text": "查看无需令牌，更改才需要。令牌只保存在此标签页，关闭后即清除。", "token.label": "令牌（运行目录的 secrets/token）", "token.use": "使用",
  "token.enter": "输入令牌", "token.forget": "清除令牌",
  "help.title": "快捷键", "help.search": "在本页搜索", "help.next": "下一行", "help.previous": "上一行", "help.help": "显示此列表",

  "time.now": "刚刚", "time.seconds": "{n} 秒前", "time.minutes": "{n} 分钟前", "time.hours": "{n} 小时前", "time.days": "{n} 天前",

  "banner.lost": "收不到健康服务的消息。", "banner.lost_since": "以下内容截至 {time}，页面会自动重新连接。", "banner.stale": "健康服务已无法观察平台。", "banner.stale_since": "以下内容最后确认于 {time} 之前。",
  "error.not_reached": "无法连接健康服务。", "error.unknown": "操作失败。", "error.page": "无法显示此页面。", "missing.title": "没有此页面", "missing.text": "地址可能有误，或来自其他版本。",

  "condition.healthy": "正常", "condition.degraded": "降级", "condition.unhealthy": "故障", "condition.unknown": "未知", "condition.not_deployed": "未部署",
  condition: "状况", model: "模型", models: "模型", version: "版本", versions: "版本", aliases: "别名", service: "服务", address: "地址", message: "说明", state: "状态", size: "大小",
  pushed: "推送时间", tags: "标签", made_from: "来源", served: "提供服务", reason: "原因", who: "操作者", when: "时间", rate: "速率", errors: "错误", duration: "耗时",

  "verdict.healthy": "一切正常", "verdict.empty": "所有服务运行中，尚未部署模型", "verdict.degraded": "可以工作，但有 {n} 个问题", "verdict.unhealthy": "无法工作：{n} 个问题", "verdict.stale": "状况未知：健康服务无法观察",
  "verdict.replicas": "{all} 个副本中 {answering} 个应答", "verdict.models": "{all} 个模型中 {answering} 个应答", "verdict.no_models": "没有模型", "verdict.seen": "截至 {time}",

  todo: "需要处理", "todo.nothing": "无", "todo.nothing_text": "没有服务、副本、模型或发布需要您处理。", "todo.first": "添加第一个模型",
  "todo.first_text": "先推送模型包，再部署。`lepton init` 可将 ONNX 文件或 MLflow、Triton、TorchServe 中的模型制成模型包。", "todo.others": "另有 {n} 个问题，见“告警”", "todo.open": "打开 {name}", "todo.decide": "查看并决定",
  "todo.rollout": "{model} 版本 {version} 的发布等待您决定。",

  changes: "最近变化", "changes.hour": "过去一小时", "changes.quiet": "过去一小时没有变化；更早的变化", "changes.none": "还没有变化", "changes.none_text": "部署、发布、推送、重启以及副本的加入和离开会显示在这里。",
 
  "kind.rollout": "发布", "kind.push": "推送", "kind.deploy": "部署", "kind.undeploy": "下线", "kind.alias": "别名", "kind.registry": "注册表", "kind.settings": "设置", "kind.platform": "副本", "kind.replica_joined": "副本加入", "kind.replica_left": "副本离开",
  "kind.restart": "重启", "kind.scale": "伸缩", "kind.serving": "提供服务", "kind.serving_failed": "加载失败", "kind.alert": "告警",

  "models.lead": "正在提供服务的模型，以及只存放在注册表中的模型。", "models.filter": "按名称筛选", "models.none": "还没有模型", "models.none_text": "模型包是一个文件夹，包含 lepton.yaml、模型和黄金样本。", "models.no_match": "没有名称匹配的模型",
  "versions.served": "生产版本", "versions.newest": "最新：v{version}", "model.none": "没有模型 {name}", "model.none_text": "它从未被推送，或其所有版本都已删除。",
  "version_state.MODEL_VERSION_STATE_READY": "就绪", "version_state.MODEL_VERSION_STATE_ARCHIVED": "已归档", "version_state.MODEL_VERSION_STATE_DELETED": "已删除",
  "served.serving": "{n} 个副本", "served.loading": "{n} 个加载中", "served.draining": "{n} 个排空中", "served.failed": "{n} 个失败", "served.unspecified": "{n} 个未知",
  routes: "路由", "routes.none": "未部署", "routes.none_text": "其版本存放在注册表中，不提供服务。", "routes.not_served": "未提供服务", "routes.shadow": "{share} % 的调用被复制到 v{version}",
  probe: "测试预测", "probe.about": "每隔几秒用黄金样本走真实路径", "probe.works": "版本 {version} 应答正确", "probe.fails": "版本 {version} 应答不正确", "probe.none": "尚未进行。",

  "rollout.now": "正在发布", "rollout.last": "上次发布", "rollout.versions": "v{from} → v{to}", "rollout.steps": "步骤", "rollout.begun": "开始于", "rollout.shadow": "复制 {share}", "rollout.verdict": "结论", "rollout.baking": "v{version} 保持预热",
  "rollouts.past": "以往发布",
  "rollout.ROLLOUT_STATE_WAITING": "加载中", "rollout.ROLLOUT_STATE_RUNNING": "进行中", "rollout.ROLLOUT_STATE_PAUSED": "已暂停", "rollout.ROLLOUT_STATE_HELD": "保持：尚无定论", "rollout.ROLLOUT_STATE_PROMOTED": "已完成",
  "rollout.ROLLOUT_STATE_ROLLED_BACK": "已回滚", "rollout.ROLLOUT_STATE_ABORTED": "已中止",
  "rollout.pause": "暂停", "rollout.pause_title": "暂停 {model} 的发布？", "rollout.pause_text": "流量比例保持不变，直到您继续、完成或中止。", "rollout.resume": "继续", "rollout.resume_title": "继续 {model} 的发布？", "rollout.resume_text": "当前步骤从原处继续。",
  "rollout.promote": "完成", "rollout.promote_title": "将 {model} 的全部流量交给版本 {version}？", "rollout.promote_text": "跳过剩余步骤。版本 {old} 会保持预热一段时间。", "rollout.abort": "中止", "rollout.abort_title": "撤回 {model} 的版本 {version}？",
  "rollout.abort_text": "版本 {old} 立即重新接收全部流量。",
  gate: "门槛", gates: "门槛", "gate.outcome": "结论", "gate.evidence": "依据", "gate.numbers": "数字", "outcome.VERDICT_OUTCOME_HARM": "有害", "outcome.VERDICT_OUTCOME_FINE": "良好", "outcome.VERDICT_OUTCOME_INCONCLUSIVE": "尚无定论",

  quality: "质量", "quality.about": "来自用户反馈，与预测关联", "quality.source": "用户反馈", "quality.none": "还没有人反馈", "quality.none_text": "每个应答都有预测编号。可以立即或几天后为其提交标签、评分、赞踩或文字。",
  "quality.accuracy": "正确率", "quality.interval": "{low} – {high}，共 {n}", "quality.good": "好 / 坏", "quality.rating": "评分", "quality.calibration": "校准误差", "quality.calibration_title": "分数与正确比例的差异", "quality.error": "平均误差",
  drift: "漂移", "drift.about": "最近的应答与部署后最初的应答相比", "drift.none": "还没有可比较的应答", "drift.none_text": "版本应答的标签、分数和数值从 1,000 个起与其最初的相比。",
  "drift.what": "对象", "drift.verdict": "结论", "drift.compared": "最初 / 最近", "drift.distance": "距离", "drift.threshold": "阈值 {threshold}", "drift.where": "差异最大处",
  "drift.input": "输入 {name}", "drift.training": "训练数据", "drifting.label": "标签", "drifting.score": "分数", "drifting.number": "数值", "drift_verdict.drifted": "已漂移", "drift_verdict.stable": "与最初一致", "drift_verdict.inconclusive": "数量不足",
  complaints: "用户的抱怨", "complaints.about": "意思相近的文字归为一组", "complaints.count": "次数", "complaints.example": "最有代表性的", "complaints.keys": "词语", "complaints.last": "最近",
  "quality.texts": "文字", "quality.mistakes": "v{version} 最常见的错误", "quality.mistake": "{label} 被认作 {predicted}", "quality.trend": "每日好与坏",

  "feedback.lead": "用户对预测的评价。标签计入质量，也计入发布的门槛。", "feedback.newest": "最新反馈", "feedback.all_models": "所有模型", "feedback.only_bad": "仅错误或差评", "feedback.only_texts": "仅文字", "feedback.said_title": "反馈",
  "feedback.n": "{n} 条", "feedback.newest_n": "最新 {n} 条", "feedback.none": "这里没有反馈", "feedback.none_text": "请用应答中的预测编号提交。", "feedback.predicted": "预测", "feedback.said": "评价", "feedback.right_label": "正确答案是",
  "feedback.rating": "{rating} / 5", "feedback.good": "好", "feedback.bad": "坏", "feedback.unknown": "未知", "feedback.label": "标注", "feedback.label_title": "正确的标签是什么？", "feedback.label_text": "模型的回答：{predicted}",
  "feedback.label_field": "正确标签", "feedback.label_send": "提交",
  "feedback_state.FEEDBACK_STATE_JOINED": "计入", "feedback_state.FEEDBACK_STATE_VERSION_KNOWN": "仅知版本", "feedback_state.FEEDBACK_STATE_UNKNOWN": "预测未知", "feedback_state.FEEDBACK_STATE_QUARANTINED": "已隔离",

  "topology.lead": "服务、副本，以及它们之间的调用。", "topology.counted": "过去一分钟每秒的调用及其中位耗时", "topology.picture": "调用关系", "topology.from": "未计数的来自 {n} 条链路，{from} – {to}", "topology.seen_in": "来源", "seen_in.counts": "全部调用的计数", "seen_in.traces": "链路", "topology.calls": "调用", "topology.replicas": "副本", "topology.answering": "{all} 个副本中 {well} 个正常",
  "topology.callers": "您的程序", "topology.unwatched": "与其副本同机", "topology.failing": "{share} 失败", "topology.caller": "调用方", "topology.callee": "被调用方", "topology.rate_title": "每秒的调用；来自链路的只是被追踪的调用，实际可能更多",
  "topology.no_calls": "过去五分钟没有调用", "topology.no_calls_text": "进行一次预测，几秒内其链路就会出现在这里。", "topology.no_replicas": "没有已注册的副本",

  "traces.lead": "请求的时间花在哪里。", "traces.of_model": "链路", "traces.show": "链路", "traces.longer": "长于", "traces.how_many": "最多", "traces.only_errors": "仅失败", "traces.by_id": "按编号打开", "traces.found": "链路", "traces.durations": "耗时分布",
  "traces.durations_about": "时间与耗时；方块表示失败；点击打开", "traces.none": "没有这样的链路", "traces.none_text": "只追踪一部分请求；`--trace` 总会追踪。", "traces.request": "请求", "traces.spans": "跨度",
  "trace.title": "链路 {id}", "trace.none": "没有链路 {id}", "trace.none_text": "只追踪采样的请求，旧链路会为新链路让位。", "trace.errors": "{n} 个错误", "trace.services": "服务", "trace.began": "开始", "trace.where": "时间花在哪里",
  "trace.where_about": "点击展开；← 和 → 折叠", "trace.missing": "未收到跨度 {id}", "trace.link": "关联：", "trace.logs": "相关日志",

  "alerts.lead": "现在有什么问题，以及如何处理。", "alerts.what": "问题", "alerts.about": "对象", "alerts.none": "没有问题", "alerts.none_text": "健康服务每隔几秒检查一次。",

  "logs.lead": "所有进程的警告和错误，按种类归并。", "logs.locked": "查看日志需要令牌", "logs.locked_text": "日志可能包含不宜公开的调用信息。", "logs.search": "内容包含", "logs.all": "全部", "logs.level": "级别", "logs.all_kinds": "所有种类", "logs.kinds": "种类",
  "logs.kinds_about": "只在数字和名称上不同的消息", "logs.count": "次数", "logs.kind": "种类", "logs.first": "首次", "logs.last": "最近", "logs.records": "记录", "logs.none": "没有这样的记录", "logs.none_text": "还没有收到警告或错误。",
  "logs.trace": "链路", "logs.more": "更多", "level.WARNING": "警告", "level.ERROR": "错误", "level.CRITICAL": "严重",

  all_of_it: "全部", range: "时间范围",
  "place.metrics": "指标", "changes.day": "过去一天", "changes.replica_joined": "{n} 个加入", "changes.replica_left": "{n} 个离开", "changes.restart": "{n} 个重启", "changes.settings": "{n} 个设置不同", "changes.none_of_model": "过去一天没有变化",
  "model.figures": "指标", "figures.rate": "过去一分钟每秒请求数，所有版本合计", "figures.trend": "过去十分钟的速率", "figures.errors": "过去一分钟失败请求的比例", "figures.mistakes": "几乎都是调用方的错误，例如输入有误", "figures.latency": "过去一分钟，应答最多的版本", "figures.open": "图表",
  "figures.none": "还没有数据", "figures.none_text": "首批请求到来后几秒内即可看到。", "figures.right": "正确", "figures.wrong": "不正确", "figures.kinds": "错误种类", "figures.window": "过去一分钟。点击列标题可查看其表达式。",
  "kpi.rate": "速率", "kpi.error_ratio": "错误", "kpi.p50": "p50", "kpi.p95": "p95", "kpi.p99": "p99", "kpi.queue": "排队", "kpi.batch": "批大小", "kpi.cache_hits": "缓存命中", "kpi.probe": "探测",
  "panel.rate": "每秒请求数", "panel.errors": "失败比例", "panel.latency": "应答耗时", "panel.queue": "等待成批", "panel.batch": "每批行数", "panel.probe": "测试预测耗时", "panel.service_rate": "每秒调用数", "panel.service_p99": "最慢的 1 % 调用", "panel.service_errors": "失败的调用",
  "panel.service_full": "占用程度", "panel.process_cpu": "处理器", "panel.process_memory": "内存", "panel.machine_cpu": "主机：处理器", "panel.machine_memory": "主机：内存", "panel.machine_disk": "主机：最满的磁盘", "panel.gpu_use": "显卡：使用率", "panel.gpu_memory": "显卡：显存", "panel.gpu_power": "显卡：功率",
  "panel.made_of": "数据来源", "panel.slow": "较慢的：", "panel.pick": "点击查看当时的链路", "panel.none": "这段时间没有数据", "panel.others": "另有 {n} 条线未画出",
  "metrics.lead": "所有进程的测量，以及任意查询。", "metrics.ask": "查询", "metrics.back": "所有图表", "metrics.result": "结果", "metrics.series": "{n} 条序列", "metrics.none_text": "表达式正确，但这段时间没有匹配的数据。", "metrics.targets": "测量对象", "metrics.up": "已测量",
  "metrics.down": "未测量", "metrics.samples": "数值", "metrics.last": "最近", "topology.figures": "{rate} · p99 {p99}",
  "alerts.now": "触发中", "alerts.quiet": "未通知", "alerts.quiet_about": "待定、已静默或由其他告警引起", "alerts.over": "已结束", "alerts.over_none": "近期没有结束的告警",
  "alert.title": "告警 {id}", "alert.unknown": "没有告警 {id}", "alert.severity": "严重程度", "alert.since": "始于", "alert.lasted": "持续", "alert.ended": "结束", "alert.value": "数值", "alert.share": "受影响的请求", "alert.why": "已知情况", "alert.description": "描述", "alert.impact": "影响",
  "alert.cause": "可能原因", "alert.runbook": "如何处理", "alert.causes": "可能的原因，最可能的在前", "alert.causes_more": "也可能是", "alert.cause_look": "查看",
  "cause.alert": "告警", "cause.process": "进程", "cause.change": "变更", "cause.log": "日志", "cause.errors": "错误", "cause.machine": "机器", "alert.chart": "图表", "alert.began": "始于", "alert.changes": "自开始前半小时起", "alert.trace": "链路", "alert.history": "历史", "alert.look": "查看", "alert.with": "由 {who} 处理", "alert.silenced": "已静默", "alert.follows": "由其他告警引起", "alert.acknowledge": "我来处理",
  "alert.acknowledge_title": "由您处理吗？", "alert.acknowledge_text": "{summary} 不再重复通知，也不再升级。", "alert.silence": "静默", "alert.silence_title": "不再通知此类告警", "alert.hours": "小时数", "alert.comment": "原因",
  "severity.page": "紧急", "severity.ticket": "工单", "severity.info": "信息", "alert_state.ALERT_STATE_PENDING": "待定", "alert_state.ALERT_STATE_FIRING": "触发中", "alert_state.ALERT_STATE_RESOLVED": "已结束",
  "happening.pending": "发现", "happening.firing": "成为告警", "happening.resolved": "结束", "happening.acknowledged": "有人处理", "happening.delivered": "已通知", "happening.failed": "通知失败", "happening.repeated": "再次通知", "happening.escalated": "已升级",
  "notification.NOTIFICATION_STATE_PENDING": "待发送", "notification.NOTIFICATION_STATE_DELIVERED": "已送达", "notification.NOTIFICATION_STATE_FAILED": "失败",
  slos: "承诺", "slos.about": "以及剩余预算", "slos.none": "还没有对任何模型作出承诺", "slos.none_text": "在 lepton.yaml 中或用命令承诺应答比例或快速应答的比例；告警会跟踪预算消耗的速度。", "slos.promise": "承诺", "slos.budget": "剩余预算", "slos.burn": "消耗速度", "slos.bad": "坏 / 总", "slos.coverage": "已观察",
  "slos.within": "{window} 内", "slos.availability": "{share} 得到应答", "slos.latency": "{share} 在 {time} 内", "slos.left": "剩余 {share}", "slos.overdrawn": "已透支：{share}", "slos.not_judged": "尚未评估",
  silences: "静默", "silences.what": "对象", "silences.alerts": "告警", "silences.until": "直到", "silences.end": "结束", "silences.end_title": "结束此静默？", timeline: "时间线", "timeline.kind": "种类", "timeline.all": "所有种类",
  notifications: "通知", "notifications.to": "接收者", "notifications.none": "还没有通知任何人", "notifications.no_receivers": "没有接收者", "notifications.none_text": "接收者（webhook、电子邮件、Slack、飞书、钉钉、企业微信）写在 LEPTON_RECEIVERS_FILE 指定的文件中。",
};
