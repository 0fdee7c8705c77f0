BEGIN TRANSACTION;
CREATE TABLE aliases (
	model VARCHAR(64) NOT NULL, 
	alias VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (model, alias), 
	FOREIGN KEY(model, version) REFERENCES versions (model, version)
);
INSERT INTO "aliases" VALUES('resnet','production',2);
INSERT INTO "aliases" VALUES('resnet','best',3);
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	model VARCHAR(64) NOT NULL, 
	"before" JSON, 
	"after" JSON, 
	PRIMARY KEY (id)
);
INSERT INTO "audit" VALUES(1,'2026-11-29 19:48:17.957388','ann ipv4:127.0.0.1:50000','push','resnet','null','{"version": 1, "digest": "3829a5d612167d6b56b1e9e8a683fa0be6e0fd241104ea5ec62b088dffd6972b"}');
INSERT INTO "audit" VALUES(2,'2026-11-29 19:48:17.959255','ann ipv4:127.0.0.1:50000','push','resnet','null','{"version": 2, "digest": "fd4be83c54ad8b8b20b2b7ff69651a1ab5a5700fba22d290720749dbc2baa8b8"}');
INSERT INTO "audit" VALUES(3,'2026-11-29 19:48:17.962867','ann ipv4:127.0.0.1:50000','push','resnet','null','{"version": 3, "digest": "20bf34a9a755112a5397b571d91fbf91c90bb195b28c5469f2aedbcfe080f992"}');
INSERT INTO "audit" VALUES(4,'2026-11-29 19:48:17.964239','ann ipv4:127.0.0.1:50000','push','sentiment','null','{"version": 1, "digest": "29f1ab3bfe57cb7636ee355c82ac205c2b8f5bca6b0221cf437d9c3a0a60b168"}');
INSERT INTO "audit" VALUES(5,'2026-11-29 19:48:17.968434','ann ipv4:127.0.0.1:50000','deploy','resnet','null','{"version": 2}');
CREATE TABLE deployed_versions (
	model VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (model, version), 
	FOREIGN KEY(model, version) REFERENCES versions (model, version)
);
INSERT INTO "deployed_versions" VALUES('resnet',2);
INSERT INTO "deployed_versions" VALUES('resnet',3);
CREATE TABLE files (
	model VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	path VARCHAR(1024) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	PRIMARY KEY (model, version, path), 
	FOREIGN KEY(model, version) REFERENCES versions (model, version)
);
INSERT INTO "files" VALUES('resnet',1,'lepton.yaml',120,'3829a5d612167d6b56b1e9e8a683fa0be6e0fd241104ea5ec62b088dffd6972b');
INSERT INTO "files" VALUES('resnet',1,'model.onnx',4096,'d7ab393d3a3e0a75d6a914d3cbe61866d3a1ca1a19e38311835094b3e11a58ef');
INSERT INTO "files" VALUES('resnet',2,'lepton.yaml',120,'fd4be83c54ad8b8b20b2b7ff69651a1ab5a5700fba22d290720749dbc2baa8b8');
INSERT INTO "files" VALUES('resnet',2,'model.onnx',4096,'d7ab393d3a3e0a75d6a914d3cbe61866d3a1ca1a19e38311835094b3e11a58ef');
INSERT INTO "files" VALUES('resnet',3,'lepton.yaml',120,'20bf34a9a755112a5397b571d91fbf91c90bb195b28c5469f2aedbcfe080f992');
INSERT INTO "files" VALUES('resnet',3,'model.onnx',4096,'d7ab393d3a3e0a75d6a914d3cbe61866d3a1ca1a19e38311835094b3e11a58ef');
INSERT INTO "files" VALUES('sentiment',1,'lepton.yaml',120,'29f1ab3bfe57cb7636ee355c82ac205c2b8f5bca6b0221cf437d9c3a0a60b168');
INSERT INTO "files" VALUES('sentiment',1,'model.onnx',4096,'df82d7244147796b6a6486dc21c4502c0c4d67a8aecc64d86ab310926503c5e3');
CREATE TABLE models (
	name VARCHAR(64) NOT NULL, 
	generation BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "models" VALUES('resnet',4);
INSERT INTO "models" VALUES('sentiment',0);
CREATE TABLE rollouts (
	id INTEGER NOT NULL, 
	model VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	old_version INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	shares JSON NOT NULL, 
	step_s FLOAT NOT NULL, 
	bake_s FLOAT NOT NULL, 
	is_judged BOOLEAN NOT NULL, 
	step INTEGER NOT NULL, 
	passed_s FLOAT NOT NULL, 
	is_live BOOLEAN NOT NULL, 
	judge JSON, 
	verdict JSON, 
	reason VARCHAR(2000) NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	started_at DATETIME NOT NULL, 
	changed_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(model, version) REFERENCES versions (model, version), 
	FOREIGN KEY(model, old_version) REFERENCES versions (model, version), 
	FOREIGN KEY(model) REFERENCES models (name)
);
INSERT INTO "rollouts" VALUES(1,'resnet',2,1,'promoted','[]',0.0,0.0,1,0,0.0,0,NULL,NULL,'deployed at once','ann','2026-11-29 19:48:17.968844','2026-11-29 19:48:17.968844');
INSERT INTO "rollouts" VALUES(2,'resnet',3,2,'running','[5, 25, 50]',60.0,600.0,1,0,12.5,1,'{"looks": 2}','{"sentence": "no harm seen", "outcome": "undecided", "gates": []}','waits until it serves','ann','2026-11-29 19:48:17.970690','2026-11-29 19:48:17.970690');
CREATE TABLE route_targets (
	model VARCHAR(64) NOT NULL, 
	alias VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	weight INTEGER NOT NULL, 
	PRIMARY KEY (model, alias, version), 
	FOREIGN KEY(model, version) REFERENCES deployed_versions (model, version)
);
INSERT INTO "route_targets" VALUES('resnet','production',2,95);
INSERT INTO "route_targets" VALUES('resnet','production',3,5);
CREATE TABLE schema_version (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(2);
CREATE TABLE versions (
	model VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	description VARCHAR(2000) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (model, version), 
	UNIQUE (model, digest), 
	FOREIGN KEY(model) REFERENCES models (name)
);
INSERT INTO "versions" VALUES('resnet',1,'3829a5d612167d6b56b1e9e8a683fa0be6e0fd241104ea5ec62b088dffd6972b','猫 1','2026-11-29 19:48:17.956225');
INSERT INTO "versions" VALUES('resnet',2,'fd4be83c54ad8b8b20b2b7ff69651a1ab5a5700fba22d290720749dbc2baa8b8','猫 2','2026-11-29 19:48:17.958760');
INSERT INTO "versions" VALUES('resnet',3,'20bf34a9a755112a5397b571d91fbf91c90bb195b28c5469f2aedbcfe080f992','猫 3','2026-11-29 19:48:17.962226');
INSERT INTO "versions" VALUES('sentiment',1,'29f1ab3bfe57cb7636ee355c82ac205c2b8f5bca6b0221cf437d9c3a0a60b168','猫 1','2026-11-29 19:48:17.963792');
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE INDEX files_by_sha256 ON files (sha256);
CREATE INDEX rollouts_by_model ON rollouts (model, id);
CREATE UNIQUE INDEX rollouts_live ON rollouts (model) WHERE is_live;
COMMIT;
