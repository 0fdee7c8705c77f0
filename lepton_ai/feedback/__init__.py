"""Users' feedback outside the platform: as rows, as folders, as Label Studio's tasks; and what questionnaires are."""
