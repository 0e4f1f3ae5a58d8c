"""Reports: pages and figures from the logs of runs, and the diagnosis of estimators."""
