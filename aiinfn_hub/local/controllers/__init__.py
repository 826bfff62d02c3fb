"""The controllers of the embedded platform: clients of the Kubernetes API like any other, with pure rules inside."""
